// Samples by index, over a split's shards.
#include "datasets/dataset.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/batch.h"
#include "core/base/error.h"
#include "datasets/shard.h"

namespace polyhead {

struct SplitReader::Implementation {
  std::vector<std::unique_ptr<Shard>> shards;
  std::vector<std::uint64_t> ends;  // samples up to and with each shard
  std::uint64_t classes = 0, outputs = 1;

  // The shard of a sample and its index there.
  std::pair<const Shard*, std::uint64_t> locate(std::uint64_t sample) const {
    const auto found = std::upper_bound(ends.begin(), ends.end(), sample);
    if (found == ends.end())
      throw Error(Exit::internal,
                  fmt::format("sample {} was asked of a split of {}", sample, ends.empty() ? 0 : ends.back()));
    const auto at = static_cast<std::size_t>(found - ends.begin());
    return {shards[at].get(), sample - (at > 0 ? ends[at - 1] : 0)};
  }
};

namespace {

struct Range {
  std::uint64_t first = 0, last = 0;
};

Range range(const Column& offsets, std::uint64_t i) {
  return {offsets.at<std::uint64_t>(i), offsets.at<std::uint64_t>(i + 1)};
}

void append_tokens(const Column& tokens, const Range& where, std::vector<std::int64_t>& out) {
  const std::size_t before = out.size();
  out.resize(before + (where.last - where.first));
  for (std::uint64_t i = where.first; i < where.last; ++i) out[before + (i - where.first)] = tokens.token(i);
}

constexpr std::uint64_t kCacheLine = 64;

// The lines of elements [first, last); nothing of a column that is not there.
void prefetch_elements(const Column& column, std::uint64_t first, std::uint64_t last) {
  if (column.element == 0) return;
  const std::byte* end = column.data + last * column.element;
  for (const std::byte* line = column.data + first * column.element; line < end; line += kCacheLine)
    __builtin_prefetch(line);
}

std::optional<std::string> text_of(const Column& text, const Column& offsets, std::uint64_t i) {
  if (text.element == 0) return std::nullopt;
  const Range where = range(offsets, i);
  return std::string(reinterpret_cast<const char*>(text.data) + where.first, where.last - where.first);
}

}  // namespace

SplitReader::SplitReader(const std::filesystem::path& folder, const Manifest& manifest, const TaskInfo& task,
                         const std::string& split)
    : implementation_(std::make_unique<Implementation>()) {
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
  expected.classes = implementation_->classes = task.labels.size();
  expected.outputs = implementation_->outputs = std::max<std::uint64_t>(task.outputs.size(), 1);
  std::uint64_t end = 0;
  for (const ShardInfo& info : found->second.shards) {
    expected.info = info;
    implementation_->shards.push_back(std::make_unique<Shard>(folder / info.file, expected));
    implementation_->ends.push_back(end += info.samples);
  }
}

SplitReader::~SplitReader() = default;

std::uint64_t SplitReader::size() const {
  return implementation_->ends.empty() ? 0 : implementation_->ends.back();
}

std::uint64_t SplitReader::input_length(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  const Range where = range(shard->input_offsets, i);
  return where.last - where.first;
}

std::uint64_t SplitReader::target_length(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (shard->target.element == 0) return 0;
  const Range where = range(shard->target_offsets, i);
  return where.last - where.first;
}

void SplitReader::prefetch_place(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  prefetch_elements(shard->input_offsets, i, i + 1);
  prefetch_elements(shard->target_offsets, i, i + 1);
  prefetch_elements(shard->label, i, i + 1);
  prefetch_elements(shard->labels, i * implementation_->classes, (i + 1) * implementation_->classes);
  prefetch_elements(shard->value, i * implementation_->outputs, (i + 1) * implementation_->outputs);
}

void SplitReader::prefetch(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  const Range input = range(shard->input_offsets, i);
  prefetch_elements(shard->input, input.first, input.last);
  prefetch_elements(shard->tags, input.first, input.last);
  if (shard->target.element == 0) return;
  const Range target = range(shard->target_offsets, i);
  prefetch_elements(shard->target, target.first, target.last);
}

void SplitReader::input_tokens(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  append_tokens(shard->input, range(shard->input_offsets, i), out);
}

void SplitReader::target_tokens(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (shard->target.element > 0) append_tokens(shard->target, range(shard->target_offsets, i), out);
}

void SplitReader::tags(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (shard->tags.element == 0) return;
  const Range where = range(shard->input_offsets, i);
  for (std::uint64_t at = where.first; at < where.last; ++at) {
    const auto tag = shard->tags.at<std::uint16_t>(at);
    out.push_back(tag == kNotScored ? kIgnore : tag);
  }
}

std::int64_t SplitReader::label(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return shard->label.element > 0 ? shard->label.at<std::uint32_t>(i) : kIgnore;
}

void SplitReader::labels(std::uint64_t sample, std::vector<std::int64_t>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (shard->labels.element == 0) return;
  for (std::uint64_t c = 0; c < implementation_->classes; ++c)
    out.push_back(shard->labels.at<std::uint8_t>(i * implementation_->classes + c));
}

void SplitReader::values(std::uint64_t sample, std::vector<double>& out) const {
  const auto [shard, i] = implementation_->locate(sample);
  if (shard->value.element == 0) return;
  for (std::uint64_t k = 0; k < implementation_->outputs; ++k)
    out.push_back(shard->value.at<float>(i * implementation_->outputs + k));
}

std::uint64_t SplitReader::second(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return shard->second.element > 0 ? shard->second.at<std::uint32_t>(i) : 0;
}

std::optional<std::string> SplitReader::input_text(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return text_of(shard->input_text, shard->input_text_offsets, i);
}

std::optional<std::string> SplitReader::target_text(std::uint64_t sample) const {
  const auto [shard, i] = implementation_->locate(sample);
  return text_of(shard->target_text, shard->target_text_offsets, i);
}

}  // namespace polyhead
