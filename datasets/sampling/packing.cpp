// Appends samples with their targets to a packed batch, and masks tokens for masked_lm.
#include "datasets/sampling/packing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "datasets/sampling/permutation.h"

namespace polyhead {
namespace {

// Separate draws that have the same parent key.
constexpr std::uint64_t kMaskStream = 0x6d61736b696e6731ULL;
constexpr std::uint64_t kEvaluationStream = 0x6576616c75617465ULL;
constexpr std::uint64_t kChoiceStream = 0x63686f6963653031ULL;

enum Draw : std::uint64_t { kSelect, kReplace, kToken };

// Returns a token, uniform over the ids that are not special.
std::int64_t random_token(std::uint64_t random, const TokenizerInfo& info) {
  std::array<std::int64_t, 5> special = {info.pad, info.unk, info.bos, info.eos, info.mask};
  std::sort(special.begin(), special.end());
  const auto end = std::unique(special.begin(), special.end());
  const std::int64_t ordinary = info.vocab_size - (end - special.begin());
  if (ordinary <= 0)
    throw Error(Exit::data,
                fmt::format("masking: the tokenizer '{}' has {} ids, all of them special: use a larger vocabulary",
                            info.file, info.vocab_size));
  std::int64_t token = bounded(random, static_cast<std::uint32_t>(ordinary));
  for (auto id = special.begin(); id != end; ++id)
    if (*id <= token) ++token;
  return token;
}

// Masks tokens [begin, end) of the batch.
void mask_sequence(Batch& batch, TaskSlice& slice, std::size_t begin, const TokenizerInfo& info, std::uint64_t key,
                   const MaskingOptions& masking) {
  const std::uint64_t mask_key = derive(key, kMaskStream);
  const auto random = [&](std::size_t row, Draw what) { return draw(derive(mask_key, row - begin), what); };
  const std::size_t first = slice.masked_rows.size();
  std::size_t lowest = batch.tokens.size();  // the row to mask if none is selected
  double lowest_draw = 1;
  for (std::size_t row = begin; row < batch.tokens.size(); ++row) {
    if (!maskable(info, batch.tokens[row])) continue;
    const double drawn = unit(random(row, kSelect));
    if (drawn < masking.share) slice.masked_rows.push_back(static_cast<std::int64_t>(row));
    if (drawn < lowest_draw) {
      lowest_draw = drawn;
      lowest = row;
    }
  }
  if (slice.masked_rows.size() == first && lowest < batch.tokens.size())
    slice.masked_rows.push_back(static_cast<std::int64_t>(lowest));
  for (std::size_t i = first; i < slice.masked_rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(slice.masked_rows[i]);
    std::int64_t& token = batch.tokens[row];
    slice.masked_tokens.push_back(token);
    const double drawn = unit(random(row, kReplace));
    if (drawn < masking.mask) {
      token = info.mask;
    } else if (drawn < masking.mask + masking.random) {
      token = random_token(random(row, kToken), info);
    }
  }
  slice.count += static_cast<std::int64_t>(slice.masked_rows.size() - first);
}

}  // namespace

void append(Batch& batch, int task, const TaskInfo& info, const TokenizerInfo& tokenizer, const StoredSample& sample,
            std::uint64_t key, const MaskingOptions& masking) {
  if (batch.offsets.empty()) batch.offsets.push_back(0);
  if (batch.slices.empty() || batch.slices.back().task != task) {
    TaskSlice& opened = batch.slices.emplace_back();
    opened.task = task;
    opened.first_sequence = batch.sequences();
    opened.first_token = static_cast<std::int64_t>(batch.tokens.size());
  }
  TaskSlice& slice = batch.slices.back();
  const std::size_t begin = batch.tokens.size();
  if (sample.feature_width() > 0) {
    slice.feature_width = static_cast<std::int64_t>(sample.feature_width());
    sample.features(slice.features);
    batch.tokens.resize(begin + sample.input_length(), kNoToken);
  } else {
    sample.input_tokens(batch.tokens);
  }
  batch.offsets.push_back(static_cast<std::int64_t>(batch.tokens.size()));
  batch.keys.push_back(key);
  if (const std::uint64_t second = sample.second(); second > 0 || !batch.second.empty()) {
    batch.second.resize(batch.keys.size());
    batch.second.back() = static_cast<std::int64_t>(second);
  }
  slice.samples.push_back(sample.index());
  ++slice.sequences;

  switch (info.kind) {
    case Kind::classification:
      slice.labels.push_back(sample.label());
      ++slice.count;
      break;
    case Kind::tagging: {
      const std::size_t first = slice.tags.size();
      sample.tags(slice.tags);
      for (std::size_t i = first; i < slice.tags.size(); ++i) slice.count += slice.tags[i] != kIgnore;
      break;
    }
    case Kind::masked_lm:
      mask_sequence(batch, slice, begin, tokenizer, key, masking);
      break;
    case Kind::translation: {
      if (slice.target_offsets.empty()) slice.target_offsets.push_back(0);
      sample.target_tokens(slice.target_tokens);
      const auto end = static_cast<std::int64_t>(slice.target_tokens.size());
      slice.count += end - slice.target_offsets.back();
      slice.target_offsets.push_back(end);
      break;
    }
    case Kind::multilabel:
      sample.labels(slice.labels);
      ++slice.count;
      break;
    case Kind::regression:
      sample.values(slice.values);
      ++slice.count;
      break;
  }
}

std::vector<std::uint64_t> evaluation_samples(const std::string& task, const std::string& split, std::uint64_t size,
                                              std::uint64_t at_most) {
  const bool all = at_most == 0 || at_most >= size;
  std::vector<std::uint64_t> samples(all ? size : at_most);
  if (all) {
    std::iota(samples.begin(), samples.end(), std::uint64_t{0});
  } else {
    Permutation(derive(derive(kChoiceStream, hash_bytes(task)), hash_bytes(split)), 0, size).map(0, samples);
    std::ranges::sort(samples);
  }
  return samples;
}

std::uint64_t evaluation_key(const std::string& task, const std::string& split, std::uint64_t sample) {
  return derive(derive(derive(kEvaluationStream, hash_bytes(task)), hash_bytes(split)), sample);
}

}  // namespace polyhead
