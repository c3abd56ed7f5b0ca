// Samples by index, over a split's shards.
#include "datasets/dataset.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "core/base/batch.h"
#include "core/base/error.h"
#include "datasets/shard.h"

namespace polyhead {

struct SplitReader::Implementation {
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<std::uint64_t> ends;  // samples up to and with each shard
  std::uint64_t classes = 0, outputs = 1, feature_width = 0;

  // Of every 2^shift samples the shard that holds the first, and the last shard: few are left to search.
  std::vector<std::uint32_t> guesses;
  int shift = 0;

  std::uint64_t size() const { return ends.empty() ? 0 : ends.back(); }

  void make_guesses() {
    shift = std::max(0, static_cast<int>(std::bit_width(size())) - static_cast<int>(std::bit_width(4 * ends.size())));
    for (std::uint64_t sample = 0; sample < size(); sample += 1ULL << shift)
      guesses.push_back(static_cast<std::uint32_t>(std::upper_bound(ends.begin(), ends.end(), sample) - ends.begin()));
    if (size() > 0) guesses.push_back(static_cast<std::uint32_t>(ends.size() - 1));
  }

  // The shard of a sample and its index there.
  std::pair<const Shard*, std::uint64_t> locate(std::uint64_t sample) const {
    if (sample >= size())
      throw Error(Exit::internal, fmt::format("sample {} was asked of a split of {}", sample, size()));
    const std::uint64_t bucket = sample >> shift;
    std::uint64_t at = guesses[bucket];
    if (sample >= ends[at])
      at = static_cast<std::uint64_t>(std::upper_bound(&ends[at], &ends[guesses[bucket + 1]], sample) - ends.data());
    return {shards[at].get(), sample - (at > 0 ? ends[at - 1] : 0)};
  }
};

namespace {

thread_local Scratch t_scratch;

// Ids to 64 bits; compiled for several instruction sets, the loader picks one.
#define POLYHEAD_WIDEN(name, type)                                                                                   \
  __attribute__((target_clones("avx512f", "avx2", "default"))) void name(const std::byte* data, std::uint64_t count, \
                                                                         std::int64_t* out) {                        \
    for (std::uint64_t i = 0; i < count; ++i) {                                                                      \
      type value;                                                                                                    \
      std::memcpy(&value, data + i * sizeof value, sizeof value);                                                    \
      out[i] = value;                                                                                                \
    }                                                                                                                \
  }
POLYHEAD_WIDEN(widen_u16, std::uint16_t)
POLYHEAD_WIDEN(widen_u32, std::uint32_t)

void copy_tokens(const Column& tokens, const Shard::Range& where, std::int64_t* out) {
  const std::byte* data = tokens.view(where.first, where.size(), t_scratch);
  (tokens.element() == 2 ? widen_u16 : widen_u32)(data, where.size(), out);
}

void append_tokens(const Column& tokens, const Shard::Range& where, std::vector<std::int64_t>& out) {
  const std::size_t before = out.size();
  out.resize(before + where.size());
  copy_tokens(tokens, where, out.data() + before);
}

std::optional<std::string> text_of(const Shard& shard, const Column& text, const Column& offsets, std::uint64_t i) {
  if (!text.present()) return std::nullopt;
  const Shard::Range where = shard.range(offsets, text.size(), i, t_scratch);
  if (where.size() == 0) return "";
  return std::string(reinterpret_cast<const char*>(text.view(where.first, where.size(), t_scratch)), where.size());
}

constexpr std::uint64_t kCacheLine = 64;

// The lines of `count` elements; nothing of a column that is not there or not mapped.
void prefetch_elements(const Column& column, std::uint64_t first, std::uint64_t count) {
  const auto begin = reinterpret_cast<std::uintptr_t>(column.address(first));
  if (begin == 0) return;
  for (auto line = begin / kCacheLine * kCacheLine; line < begin + count * column.element(); line += kCacheLine)
    __builtin_prefetch(reinterpret_cast<const void*>(line));
}

}  // namespace

SplitReader::SplitReader(const std::filesystem::path& folder, const Manifest& manifest, const TaskInfo& task,
                         const std::string& split, const ReadOptions& options)
    : implementation_(std::make_unique<Implementation>()) {
  Implementation& self = *implementation_;
  const auto found = task.splits.find(split);
  if (found == task.splits.end())
    throw Error(Exit::data,
                fmt::format("task '{}' of the data set {} has no split '{}'; add '{} = FILE' to its section of the "
                            "import description and import again",
                            task.name, folder.string(), split, split));
  ShardExpectation expected;
  expected.task = task.name;
  expected.split = split;
  expected.kind = task.kind;
  expected.vocab_size = static_cast<std::uint64_t>(manifest.tokenizer.vocab_size);
  expected.classes = self.classes = task.labels.size();
  expected.outputs = self.outputs = std::max<std::uint64_t>(task.outputs.size(), 1);
  std::uint64_t end = 0;
  for (const ShardInfo& info : found->second.shards) {
    expected.info = info;
    const Shard& shard = *self.shards.emplace_back(std::make_unique<Shard>(folder / info.file, expected, options));
    if (self.shards.size() == 1) self.feature_width = shard.feature_width();
    if (shard.feature_width() != self.feature_width)
      fail_shard(shard.path(), fmt::format("its inputs have {} numbers a row (0: tokens), those of the first shard {}",
                                           shard.feature_width(), self.feature_width));
    self.ends.push_back(end += info.samples);
  }
  self.make_guesses();
}

SplitReader::~SplitReader() = default;

std::uint64_t SplitReader::size() const {
  return implementation_->size();
}

std::uint64_t SplitReader::feature_width() const {
  return implementation_->feature_width;
}

std::uint64_t SplitReader::input_length(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return shard->input_range(i, t_scratch).size();
}

std::uint64_t SplitReader::target_length(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return shard->target.present() ? shard->target_range(i, t_scratch).size() : 0;
}

void SplitReader::input_tokens(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (shard->input.present()) append_tokens(shard->input, shard->input_range(i, t_scratch), out);
}

void SplitReader::features(std::uint64_t sample, std::vector<float>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (!shard->features.present()) return;
  const Shard::Range rows = shard->input_range(i, t_scratch);
  const std::uint64_t width = implementation_->feature_width;
  const std::size_t before = out.size();
  out.resize(before + rows.size() * width);
  std::memcpy(out.data() + before, shard->features.view(rows.first * width, rows.size() * width, t_scratch),
              rows.size() * width * sizeof(float));
}

void SplitReader::target_tokens(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (shard->target.present()) append_tokens(shard->target, shard->target_range(i, t_scratch), out);
}

void SplitReader::prefetch_place(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  prefetch_elements(shard->input_offsets, i, 2);
  if (shard->target_offsets.present()) prefetch_elements(shard->target_offsets, i, 2);
  prefetch_elements(shard->label, i, 1);
  prefetch_elements(shard->labels, i * implementation_->classes, implementation_->classes);
  prefetch_elements(shard->value, i * implementation_->outputs, implementation_->outputs);
}

void SplitReader::prefetch(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  const Shard::Range input = shard->input_range(i, t_scratch);
  const std::uint64_t width = std::max<std::uint64_t>(implementation_->feature_width, 1);
  prefetch_elements(shard->input, input.first, input.size());
  prefetch_elements(shard->features, input.first * width, input.size() * width);
  prefetch_elements(shard->tags, input.first, input.size());
  if (!shard->target.present()) return;
  const Shard::Range target = shard->target_range(i, t_scratch);
  prefetch_elements(shard->target, target.first, target.size());
}

void SplitReader::tags(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (!shard->tags.present()) return;
  const Shard::Range where = shard->input_range(i, t_scratch);
  const std::byte* tags = shard->tags.view(where.first, where.size(), t_scratch);
  const std::size_t before = out.size();
  out.resize(before + where.size());
  for (std::uint64_t at = 0; at < where.size(); ++at) {
    const auto tag = Column::load<std::uint16_t>(tags, at);
    out[before + at] = tag == kNotScored ? kIgnore : tag;
  }
}

std::int64_t SplitReader::label(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return shard->label.present() ? shard->label.at<std::uint32_t>(i, t_scratch) : kIgnore;
}

void SplitReader::labels(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  const std::uint64_t classes = implementation_->classes;
  if (!shard->labels.present() || classes == 0) return;
  const std::byte* row = shard->labels.view(i * classes, classes, t_scratch);
  for (std::uint64_t c = 0; c < classes; ++c) out.push_back(Column::load<std::uint8_t>(row, c));
}

void SplitReader::values(std::uint64_t sample, std::vector<double>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (!shard->value.present()) return;
  const std::uint64_t outputs = implementation_->outputs;
  const std::byte* row = shard->value.view(i * outputs, outputs, t_scratch);
  for (std::uint64_t k = 0; k < outputs; ++k) out.push_back(Column::load<float>(row, k));
}

std::uint64_t SplitReader::second(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return shard->second_of(i, t_scratch);
}

std::optional<std::string> SplitReader::input_text(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return text_of(*shard, shard->input_text, shard->input_text_offsets, i);
}

std::optional<std::string> SplitReader::target_text(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return text_of(*shard, shard->target_text, shard->target_text_offsets, i);
}

}  // namespace polyhead
