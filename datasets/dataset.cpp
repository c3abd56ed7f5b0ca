// Reads samples by index over the shards of a split.
#include "datasets/dataset.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include <fmt/format.h>

#include "core/base/batch.h"
#include "core/base/clones.h"
#include "core/base/error.h"
#include "datasets/known_content.h"
#include "datasets/shard.h"

namespace polyhead {

struct SplitReader::Implementation {
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<std::uint64_t> ends;  // number of samples up to and including each shard
  std::uint64_t feature_width = 0;

  // For every 2^shift samples the shard with the first of them, and finally the last shard, so that few shards remain
  // to be searched.
  std::vector<std::uint32_t> guesses;
  int shift = 0;

  std::uint64_t size() const { return ends.empty() ? 0 : ends.back(); }

  // A shard that stays open is never opened again, so one of them is checked from time to time.
  mutable std::atomic<std::size_t> rechecked = 0;
  void recheck_one() const {
    check_content(shards[rechecked.fetch_add(1, std::memory_order_relaxed) % shards.size()]->path());
  }

  void make_guesses() {
    shift = std::max(0, static_cast<int>(std::bit_width(size())) - static_cast<int>(std::bit_width(4 * ends.size())));
    for (std::uint64_t sample = 0; sample < size(); sample += 1ULL << shift)
      guesses.push_back(static_cast<std::uint32_t>(std::upper_bound(ends.begin(), ends.end(), sample) - ends.begin()));
    if (size() > 0) guesses.push_back(static_cast<std::uint32_t>(ends.size() - 1));
  }

  // Returns the shard of a sample and its index in the shard.
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

thread_local ReadBuffer t_buffer;

// Number of samples that a thread takes between two checks of a shard. It is a prime, so that the checks reach all
// tasks of a step.
constexpr std::uint32_t kRecheckEvery = 1021;
thread_local std::uint32_t t_taken = 0;

// Convert ids to 64 bits.
#define POLYHEAD_WIDEN(name, type, result)                                                   \
  POLYHEAD_CLONES void name(const std::byte* data, std::uint64_t count, std::int64_t* out) { \
    for (std::uint64_t i = 0; i < count; ++i) {                                              \
      const auto value = Column::load<type>(data, i);                                        \
      out[i] = result;                                                                       \
    }                                                                                        \
  }
POLYHEAD_WIDEN(widen_u16, std::uint16_t, value)
POLYHEAD_WIDEN(widen_u32, std::uint32_t, value)
POLYHEAD_WIDEN(widen_tags, std::uint16_t, value == kNotScored ? kIgnore : value)

using Widen = void (*)(const std::byte*, std::uint64_t, std::int64_t*);

void append(const Column& column, const Extent& where, Widen widen, std::vector<std::int64_t>& out) {
  const std::size_t before = out.size();
  out.resize(before + where.size());
  widen(column.view(where.first, where.size(), t_buffer), where.size(), out.data() + before);
}

void append_tokens(const Column& tokens, const Extent& where, std::vector<std::int64_t>& out) {
  append(tokens, where, tokens.element() == 2 ? widen_u16 : widen_u32, out);
}

// Returns the number of elements per row.
std::uint64_t width_of(const Column& column) {
  return std::max<std::uint64_t>(column.width(), 1);
}

constexpr std::uint64_t kCacheLine = 64;

// Prefetches the cache lines of `count` elements, unless the column does not exist or is not mapped.
void prefetch_elements(const Column& column, std::uint64_t first, std::uint64_t count) {
  const std::byte* begin = column.address(first);
  if (begin == nullptr) return;
  const std::byte* end = begin + count * column.element();
  for (const std::byte* line = begin - reinterpret_cast<std::uintptr_t>(begin) % kCacheLine; line < end;
       line += kCacheLine)
    __builtin_prefetch(line);
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
  std::uint64_t end = 0;
  for (const ShardInfo& info : found->second.shards) {
    const Shard& shard = *self.shards.emplace_back(
        std::make_unique<Shard>(folder / info.file, shard_expectation(manifest, task, split, info), options));
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

bool SplitReader::pairs() const {
  return std::ranges::any_of(implementation_->shards, [](const auto& shard) {
    for (std::uint64_t i = 0; i < shard->second.size(); ++i)
      if (shard->second.template at<std::uint32_t>(i, t_buffer) > 0) return true;
    return false;
  });
}

StoredSample SplitReader::sample(std::uint64_t index) const {
  if (++t_taken % kRecheckEvery == 0 && size() > 0) implementation_->recheck_one();
  const auto [shard, row] = implementation_->locate(index);
  return {*shard, row, index};
}

void SplitReader::prefetch_place(std::uint64_t index) const {
  const auto [shard, row] = implementation_->locate(index);
  prefetch_elements(shard->input_offsets, row, 2);
  if (shard->target_offsets.present()) prefetch_elements(shard->target_offsets, row, 2);
  prefetch_elements(shard->label, row, 1);
  prefetch_elements(shard->weight, row, 1);
  prefetch_elements(shard->labels, row * shard->labels.width(), shard->labels.width());
  prefetch_elements(shard->span, row * 2, 2);
  prefetch_elements(shard->value, row * width_of(shard->value), width_of(shard->value));
}

StoredSample::StoredSample(const Shard& shard, std::uint64_t row, std::uint64_t index)
    : shard_(&shard), row_(row), index_(index), input_(shard.input_range(row, t_buffer)) {
  if (shard.target.present()) target_ = shard.target_range(row, t_buffer);
}

void StoredSample::prefetch() const {
  const std::uint64_t width = width_of(shard_->features);
  prefetch_elements(shard_->input, input_.first, input_.size());
  prefetch_elements(shard_->features, input_.first * width, input_.size() * width);
  prefetch_elements(shard_->tags, input_.first, input_.size());
  prefetch_elements(shard_->target, target_.first, target_.size());
}

std::uint64_t StoredSample::feature_width() const {
  return shard_->feature_width();
}

std::uint64_t StoredSample::second() const {
  return shard_->second_of(row_, input_.size(), t_buffer);
}

std::optional<float> StoredSample::weight() const {
  if (!shard_->weight.present()) return std::nullopt;
  return shard_->weight.at<float>(row_, t_buffer);
}

void StoredSample::input_tokens(std::vector<std::int64_t>& out) const {
  if (shard_->input.present()) append_tokens(shard_->input, input_, out);
}

void StoredSample::features(std::vector<float>& out) const {
  if (!shard_->features.present()) return;
  const std::uint64_t width = width_of(shard_->features), count = input_.size() * width;
  const std::size_t before = out.size();
  out.resize(before + count);
  std::memcpy(out.data() + before, shard_->features.view(input_.first * width, count, t_buffer), count * sizeof(float));
}

void StoredSample::target_tokens(std::vector<std::int64_t>& out) const {
  if (shard_->target.present()) append_tokens(shard_->target, target_, out);
}

void StoredSample::tags(std::vector<std::int64_t>& out) const {
  if (shard_->tags.present()) append(shard_->tags, input_, widen_tags, out);
}

std::int64_t StoredSample::label() const {
  return shard_->label.present() ? shard_->label.at<std::uint32_t>(row_, t_buffer) : kIgnore;
}

void StoredSample::labels(std::vector<std::int64_t>& out) const {
  const std::uint64_t classes = shard_->labels.width();
  if (classes == 0) return;
  const std::byte* row = shard_->labels.view(row_ * classes, classes, t_buffer);
  for (std::uint64_t c = 0; c < classes; ++c) out.push_back(Column::load<std::uint8_t>(row, c));
}

void StoredSample::values(std::vector<double>& out) const {
  if (!shard_->value.present()) return;
  const std::uint64_t outputs = width_of(shard_->value);
  const std::byte* row = shard_->value.view(row_ * outputs, outputs, t_buffer);
  for (std::uint64_t k = 0; k < outputs; ++k) out.push_back(Column::load<float>(row, k));
}

std::pair<std::uint64_t, std::uint64_t> StoredSample::span() const {
  if (!shard_->span.present()) return {};
  const Extent found = shard_->span_of(row_, input_.size(), t_buffer);
  return {found.first, found.last};
}

std::optional<std::string> StoredSample::text_of(std::uint64_t first, std::uint64_t last) const {
  return shard_->text_of(row_, {input_.first + first, input_.first + last + 1}, t_buffer);
}

std::optional<std::string> StoredSample::input_text() const {
  return shard_->text(shard_->input_text, shard_->input_text_offsets, row_, t_buffer);
}

std::optional<std::string> StoredSample::target_text() const {
  return shard_->text(shard_->target_text, shard_->target_text_offsets, row_, t_buffer);
}

}  // namespace polyhead
