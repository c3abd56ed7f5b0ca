// Appends samples with their targets to a packed batch, and draws the samples of evaluations.
#include "datasets/sampling/packing.h"

#include <algorithm>
#include <numeric>

#include "core/base/counter_random.h"
#include "core/base/hash.h"
#include "datasets/sampling/permutation.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

// Separate draws that have the same parent key.
constexpr std::uint64_t kEvaluationStream = 0x6576616c75617465ULL;
constexpr std::uint64_t kChoiceStream = 0x63686f6963653031ULL;

}  // namespace

void append(Batch& batch, std::size_t task, const TaskInfo& info, const TokenizerInfo& tokenizer,
            const StoredSample& sample, std::uint64_t key, const MaskingOptions& masking) {
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

  const Target& target = target_of(info.kind);
  const std::int64_t count = slice.count;
  target.pack(sample, {batch, slice, begin, key, tokenizer, masking});
  const std::optional<float> weight = sample.weight();
  if (!weight) return;
  slice.weights.resize(target.losses(slice), *weight);
  slice.weighted_count += *weight * static_cast<double>(slice.count - count);
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
