// Opens a shard, checks everything in docs/format.md, and then maps its columns.
#include "datasets/shard.h"

#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/base/character_range.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/utf8.h"
#include "datasets/hdf5.h"
#include "datasets/known_content.h"
#include "datasets/shard_reader.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using hdf5::Handle;
using hdf5::Session;

// Whether the file is on a network file system, where a memory map may stall or fail (magic numbers of statfs(2)).
bool on_network(const fs::path& file) {
  constexpr std::array<std::uint32_t, 11> kNetwork = {0x6969,     0x517B,     0xFF534D42, 0xFE534D42,
                                                      0x0BD00BD0, 0x47504653, 0x65735546, 0x01021997,
                                                      0x00C36400, 0x19830326, 0xAAD7AAEA};
  struct statfs about {};
  return ::statfs(file.c_str(), &about) == 0 &&
         std::ranges::count(kNetwork, static_cast<std::uint32_t>(about.f_type)) > 0;
}

bool mapped(const fs::path& file, Access access) {
  return access == Access::map || (access == Access::automatic && !on_network(file));
}

}  // namespace

ShardExpectation shard_expectation(const Manifest& manifest, const TaskInfo& task, const std::string& split,
                                   const ShardInfo& info) {
  ShardExpectation expected;
  expected.task = task.name;
  expected.split = split;
  expected.kind = task.kind;
  expected.vocab_size = static_cast<std::uint64_t>(manifest.tokenizer.vocab_size);
  expected.classes = task.labels.size();
  expected.outputs = std::max<std::uint64_t>(task.outputs.size(), 1);
  expected.weights = task.weights && split == "train";
  expected.info = info;
  return expected;
}

// Opens the columns of the input, and those of the kind's target.
void Shard::open_columns(const ShardReader& in, const ShardExpectation& expected) {
  const Target& kind = target_of(expected.kind);
  if (in.has("input/features") && !in.has("input/tokens")) {
    if (!kind.takes_vectors())
      in.fail(fmt::format("it holds /input/features, but {} is of tokens", name_of(expected.kind)));
    features = in.column("input/features", {ColumnType::f32}, {Rule::What::finite}, ShardReader::kAnyWidth);
    feature_width_ = features.width();
    input_rows_ = features.size() / feature_width_;
  } else {
    input = in.column("input/tokens", {ColumnType::u16, ColumnType::u32}, {Rule::What::token, expected.vocab_size});
    input_rows_ = input.size();
  }
  input_offsets = in.column("input/offsets", {ColumnType::u64}, {Rule::What::filled, input_rows_});
  in.check_count(input_offsets, samples_);
  second = in.optional("input/second", {ColumnType::u32}, {});
  if (second.present()) in.check_rows(second, samples_, "samples");
  weight = in.optional("input/weight", {ColumnType::f32}, {Rule::What::weight});
  if (weight.present()) in.check_rows(weight, samples_, "samples");
  if (weight.present() != expected.weights)
    in.fail(expected.weights
                ? "it has no /input/weight, but the manifest says that the task's train samples have weights"
                : "it has /input/weight, but by the manifest (\"weights\" of the task) no such shard has");
  in.texts("input", samples_, input_text, input_text_offsets);
  kind.open(in, expected, *this);
  if (kind.keeps_texts()) in.texts("target", samples_, target_text, target_text_offsets);
}

Shard::Shard(const fs::path& file, const ShardExpectation& expected, const ReadOptions& options)
    : file_(file, mapped(file, options.access), options.pool) {
  const ShardInfo& info = expected.info;
  know_content(file, info.sha256);
  const char* changed =
      "; if the file was changed on purpose, 'polyhead verify --rehash' updates 'bytes' and 'sha256' in dataset.json";
  if (info.bytes > 0 && info.bytes != file_.bytes())
    fail_shard(file, fmt::format("it has {} bytes, the manifest says {}{}", file_.bytes(), info.bytes, changed));
  if (options.verify == Verify::open && !info.sha256.empty() && sha256_file(file) != info.sha256)
    fail_shard(file, fmt::format("its SHA-256 is not the manifest's{}", changed));
  try {
    const Session session;
    const Handle opened = hdf5::open_file(file);
    const ShardReader in(file_, opened, options);
    const auto expect = [&](const char* name, std::string_view value) {
      const std::string found = in.text_attribute(name);
      if (found != value) in.fail(fmt::format("its attribute '{}' is '{}', expected '{}'", name, found, value));
    };
    expect("format", "polyhead-shard");
    if (const auto version = in.number_attribute("version"); version != 1)
      in.fail(fmt::format("it has version {} of the format; this program reads version 1", version));
    expect("task", expected.task);
    expect("kind", name_of(expected.kind));
    expect("split", expected.split);
    samples_ = in.number_attribute("samples");
    if (samples_ != info.samples)
      in.fail(fmt::format("its attribute 'samples' is {}, the manifest says {}", samples_, info.samples));
    open_columns(in, expected);
  } catch (const hdf5::LibraryError& error) {
    fail_shard(file, error.what());
  }
  if (options.verify == Verify::open) check_everything();
}

void Shard::check_everything() const {
  ReadBuffer buffer;
  for (const Column* column :
       {&input, &features, &input_offsets, &second, &weight, &input_text, &input_text_offsets, &label, &labels, &value,
        &tags, &target, &target_offsets, &target_text, &target_text_offsets, &span, &characters})
    column->check_all();
  for (std::uint64_t i = 0; i < samples_; ++i) {
    second_of(i, input_range(i, buffer).size(), buffer);
    if (target.present()) target_range(i, buffer);
    if (span.present()) span_of(i, input_range(i, buffer).size(), buffer);
    if (input_text.present()) range(input_text_offsets, input_text.size(), i, buffer);
    if (target_text.present()) range(target_text_offsets, target_text.size(), i, buffer);
    text_of(i, input_range(i, buffer), buffer);
  }
}

Extent Shard::range(const Column& offsets, std::uint64_t rows, std::uint64_t sample, ReadBuffer& buffer) const {
  const std::byte* pair = offsets.view(sample, 2, buffer);
  const Extent found{Column::load<std::uint64_t>(pair, 0), Column::load<std::uint64_t>(pair, 1)};
  // A pair that spans two blocks is not checked with either of them, and without a check later reads could leave the
  // column.
  if (found.first > found.last) fail_shard(path(), fmt::format("/{} decreases at sample {}", offsets.path(), sample));
  if (found.last > rows)
    fail_shard(path(), fmt::format("/{} reaches {} at sample {}, but there are {} elements", offsets.path(), found.last,
                                   sample, rows));
  return found;
}

Extent Shard::filled(const Column& offsets, std::uint64_t rows, std::uint64_t sample, ReadBuffer& buffer) const {
  const Extent found = range(offsets, rows, sample, buffer);
  if (found.size() == 0)
    fail_shard(path(), fmt::format("sample {} of /{} is an empty sequence", sample, offsets.path()));
  return found;
}

std::optional<std::string> Shard::text(const Column& texts, const Column& offsets, std::uint64_t sample,
                                       ReadBuffer& buffer) const {
  if (!texts.present()) return std::nullopt;
  const Extent where = range(offsets, texts.size(), sample, buffer);
  if (where.size() == 0) return "";
  return std::string(reinterpret_cast<const char*>(texts.view(where.first, where.size(), buffer)), where.size());
}

std::optional<std::string> Shard::text_of(std::uint64_t sample, const Extent& tokens, ReadBuffer& buffer) const {
  if (!characters.present() || !input_text.present()) return std::nullopt;
  std::vector<CharacterRange> ranges(tokens.size());
  std::memcpy(ranges.data(), characters.view(2 * tokens.first, 2 * ranges.size(), buffer),
              ranges.size() * sizeof(CharacterRange));
  const CharacterRange covered = covering(ranges);
  const std::u32string whole = decode_utf8(*text(input_text, input_text_offsets, sample, buffer));
  if (covered.end > whole.size())
    fail_shard(path(), fmt::format("/target/characters of sample {} reaches character {} of a text of {}", sample,
                                   covered.end, whole.size()));
  return encode_utf8(std::u32string_view(whole).substr(covered.begin, covered.end - covered.begin));
}

std::uint64_t Shard::second_of(std::uint64_t sample, std::uint64_t length, ReadBuffer& buffer) const {
  if (!second.present()) return 0;
  const auto at = second.at<std::uint32_t>(sample, buffer);
  if (at >= length)
    fail_shard(path(), fmt::format("/input/second of sample {} is beyond the end of its sequence", sample));
  return at;
}

Extent Shard::span_of(std::uint64_t sample, std::uint64_t length, ReadBuffer& buffer) const {
  const std::uint64_t context = second_of(sample, length, buffer);
  const std::byte* pair = span.view(2 * sample, 2, buffer);
  const Extent found{Column::load<std::uint32_t>(pair, 0), Column::load<std::uint32_t>(pair, 1)};
  if (context == 0) fail_shard(path(), fmt::format("sample {} has no text in which its answer lies", sample));
  const bool cut_off = found.first == 0 && found.last == 0;
  if (!cut_off && (found.first < context || found.last < found.first || found.last + 1 >= length))
    fail_shard(path(), fmt::format("/target/span of sample {} is {} to {}, outside of its text's tokens, {} to {}",
                                   sample, found.first, found.last, context, length - 2));
  return found;
}

void check_shard(const fs::path& file, const ShardExpectation& expected) {
  const Shard checked(file, expected,
                      {.access = Access::automatic, .verify = Verify::open, .pool = FilePool::shared()});
}

}  // namespace polyhead
