// Opens a shard, checks everything in docs/format.md, and then maps its columns.
#include "datasets/shard.h"

#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "datasets/hdf5.h"
#include "datasets/known_content.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using hdf5::Handle;
using hdf5::Session;

enum class Type { u8, u16, u32, u64, f32 };
constexpr std::array<std::string_view, 5> kTypeNames = {"u8", "u16", "u32", "u64", "f32"};
constexpr std::array<unsigned, 5> kTypeBytes = {1, 2, 4, 8, 4};

hid_t memory_type(Type type) {
  switch (type) {
    case Type::u8:
      return H5T_STD_U8LE;
    case Type::u16:
      return H5T_STD_U16LE;
    case Type::u32:
      return H5T_STD_U32LE;
    case Type::u64:
      return H5T_STD_U64LE;
    case Type::f32:
      return H5T_IEEE_F32LE;
  }
  return -1;
}

// Limits on the size of chunked datasets: above kBomb bytes, the ratio of unpacked to stored size is limited.
constexpr std::uint64_t kBomb = 4ULL << 30, kMaxRatio = 1000;
// Maximum bytes of the rows in one row of chunks, which are decoded together.
constexpr std::uint64_t kMaxPiece = 256ULL << 20;

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
  expected.info = info;
  return expected;
}

// Reads and checks the metadata through HDF5.
class ShardReader {
 public:
  ShardReader(PooledFile& pooled, hid_t file, const ReadOptions& options)
      : pooled_(pooled), file_(file), options_(options) {}

  [[noreturn]] void fail(const std::string& what) const { fail_shard(pooled_.path(), what); }

  std::string text_attribute(const char* name) const {
    const Handle attribute = open_attribute(name);
    const Handle type(POLYHEAD_HDF5(H5Aget_type(attribute)), H5Tclose);
    if (H5Tget_class(type) != H5T_STRING) fail(fmt::format("its attribute '{}' is not a string", name));
    if (POLYHEAD_HDF5(H5Tis_variable_str(type)) > 0) {
      char* value = nullptr;
      const Handle memory(POLYHEAD_HDF5(H5Tcopy(type)), H5Tclose);
      POLYHEAD_HDF5(H5Aread(attribute, memory, &value));
      std::string text = value != nullptr ? value : "";
      H5free_memory(value);
      return text;
    }
    const std::size_t size = H5Tget_size(type);
    if (size > 4096) fail(fmt::format("its attribute '{}' has {} bytes", name, size));
    std::string text(size, '\0');
    POLYHEAD_HDF5(H5Aread(attribute, type, text.data()));
    text.resize(std::min(text.find('\0'), size));
    if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) text.erase(text.find_last_not_of(' ') + 1);
    return text;
  }

  std::uint64_t number_attribute(const char* name) const {
    const Handle attribute = open_attribute(name);
    const Handle type(POLYHEAD_HDF5(H5Aget_type(attribute)), H5Tclose);
    if (H5Tget_class(type) != H5T_INTEGER) fail(fmt::format("its attribute '{}' is not an integer", name));
    // Negative numbers would be clamped to 0 in a conversion to an unsigned type.
    std::int64_t value = 0;
    POLYHEAD_HDF5(H5Aread(attribute, H5T_NATIVE_INT64, &value));
    if (value < 0) fail(fmt::format("its attribute '{}' is negative", name));
    return static_cast<std::uint64_t>(value);
  }

  // Whether "group/name" exists. All links in the path must be hard links.
  bool has(const std::string& path) const {
    const std::string group = path.substr(0, path.find('/'));
    return component(group, H5O_TYPE_GROUP) && component(path, H5O_TYPE_DATASET);
  }

  // Returns a dataset of one of the types. width: 0: one dimension; otherwise [any, width]; kAnyWidth: [any, any].
  static constexpr std::uint64_t kAnyWidth = ~0ULL;
  Column column(const std::string& path, std::initializer_list<Type> types, Rule rule, std::uint64_t width = 0) const {
    if (!has(path)) fail(fmt::format("/{} is missing", path));
    return column_here(path, types, rule, width);
  }
  Column optional(const std::string& path, std::initializer_list<Type> types, Rule rule) const {
    return has(path) ? column_here(path, types, rule, 0) : Column{};
  }

  void read_columns(const ShardExpectation& expected, Shard& out) const;

 private:
  Handle open_attribute(const char* name) const {
    if (POLYHEAD_HDF5(H5Aexists(file_, name)) == 0) fail(fmt::format("its attribute '{}' is missing", name));
    Handle attribute(POLYHEAD_HDF5(H5Aopen(file_, name, H5P_DEFAULT)), H5Aclose);
    const Handle space(POLYHEAD_HDF5(H5Aget_space(attribute)), H5Sclose);
    if (H5Sget_simple_extent_npoints(space) != 1) fail(fmt::format("its attribute '{}' is not one value", name));
    return attribute;
  }

  bool component(const std::string& path, H5O_type_t expected) const {
    if (POLYHEAD_HDF5(H5Lexists(file_, path.c_str(), H5P_DEFAULT)) == 0) return false;
    H5L_info_t link;
    POLYHEAD_HDF5(H5Lget_info(file_, path.c_str(), &link, H5P_DEFAULT));
    if (link.type != H5L_TYPE_HARD)
      fail(fmt::format("/{} is {} link; only hard links are allowed", path,
                       link.type == H5L_TYPE_SOFT       ? "a soft"
                       : link.type == H5L_TYPE_EXTERNAL ? "an external"
                                                        : "a user-defined"));
    H5O_info_t object;
    POLYHEAD_HDF5(H5Oget_info_by_name2(file_, path.c_str(), &object, H5O_INFO_BASIC, H5P_DEFAULT));
    if (object.type != expected)
      fail(fmt::format("/{} is not a {}", path, expected == H5O_TYPE_GROUP ? "group" : "dataset"));
    return true;
  }

  Column column_here(const std::string& path, std::initializer_list<Type> types, Rule rule, std::uint64_t width) const {
    const Handle set = hdf5::open_dataset(file_, path);
    const Handle create(POLYHEAD_HDF5(H5Dget_create_plist(set)), H5Pclose);
    check_storage(path, create);

    const Handle stored(POLYHEAD_HDF5(H5Dget_type(set)), H5Tclose);
    const auto type = std::find_if(types.begin(), types.end(), [&](Type one) {
      const H5T_class_t wanted = one == Type::f32 ? H5T_FLOAT : H5T_INTEGER;
      return H5Tget_class(stored) == wanted && H5Tget_size(stored) == kTypeBytes[static_cast<std::size_t>(one)] &&
             (wanted == H5T_FLOAT || H5Tget_sign(stored) == H5T_SGN_NONE);
    });
    std::vector<std::string_view> names;
    for (const Type one : types) names.push_back(kTypeNames[static_cast<std::size_t>(one)]);
    if (type == types.end()) fail(fmt::format("/{} has another type than {}", path, fmt::join(names, " or ")));

    const Handle space(POLYHEAD_HDF5(H5Dget_space(set)), H5Sclose);
    const int rank = POLYHEAD_HDF5(H5Sget_simple_extent_ndims(space));
    if (H5Sget_simple_extent_type(space) != H5S_SIMPLE || rank != (width > 0 ? 2 : 1))
      fail(fmt::format("/{} has {} dimensions, expected {}", path, rank, width > 0 ? 2 : 1));
    std::array<hsize_t, 2> extent{};
    POLYHEAD_HDF5(H5Sget_simple_extent_dims(space, extent.data(), nullptr));
    if (width == kAnyWidth) width = std::max<std::uint64_t>(extent[1], 1);
    if (width > 0 && extent[1] != width) fail(fmt::format("/{} has {} columns, expected {}", path, extent[1], width));

    ColumnSource source{.file = &pooled_, .path = path, .width = width};
    source.element = kTypeBytes[static_cast<std::size_t>(*type)];
    source.memory_type = memory_type(*type);
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(extent[0], std::max<std::uint64_t>(width, 1), &source.size) ||
        __builtin_mul_overflow(source.size, source.element, &bytes))
      fail(fmt::format("/{} declares more elements than an address can count", path));
    source.direct = POLYHEAD_HDF5(H5Tequal(stored, source.memory_type)) > 0;
    locate(set, create, bytes, rank, source);
    rule.width = std::max<std::uint64_t>(width, 1);
    std::vector<std::uint64_t> hashes = integrity(path, bytes);
    return {std::move(source), rule, std::move(hashes)};
  }

  void check_storage(const std::string& path, hid_t create) const {
    const H5D_layout_t layout = H5Pget_layout(create);
    if (layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED)
      fail(fmt::format("/{} is stored as {}; only contiguous and chunked storage are allowed", path,
                       layout == H5D_COMPACT   ? "compact"
                       : layout == H5D_VIRTUAL ? "a virtual dataset"
                                               : "an unknown layout"));
    if (POLYHEAD_HDF5(H5Pget_external_count(create)) != 0)
      fail(fmt::format("/{} has external storage, which is not allowed", path));
    const int filters = POLYHEAD_HDF5(H5Pget_nfilters(create));
    for (int i = 0; i < filters; ++i) {
      unsigned flags = 0, config = 0;
      std::size_t values = 0;
      std::array<char, 64> name{};
      const H5Z_filter_t filter = H5Pget_filter2(create, static_cast<unsigned>(i), &flags, &values, nullptr,
                                                 name.size() - 1, name.data(), &config);
      if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
        fail(fmt::format("/{} uses the filter {} '{}'; only shuffle, deflate and fletcher32 are allowed", path,
                         static_cast<int>(filter), name.data()));
    }
  }

  // Finds the bytes of a dataset.
  void locate(hid_t set, hid_t create, std::uint64_t bytes, int rank, ColumnSource& source) const {
    const std::uint64_t stored = H5Dget_storage_size(set);
    if (H5Pget_layout(create) == H5D_CONTIGUOUS) {
      if (bytes == 0) return;
      const haddr_t offset = H5Dget_offset(set);
      if (offset == HADDR_UNDEF) fail(fmt::format("/{} declares {} bytes and stores none", source.path, bytes));
      if (stored != bytes || offset > pooled_.bytes() || bytes > pooled_.bytes() - offset)
        fail(fmt::format("/{} claims {} bytes at {}, the file has {}", source.path, bytes, offset, pooled_.bytes()));
      source.offset = offset;
      return;
    }
    source.direct = false;
    std::array<hsize_t, 2> chunk{1, 1};
    POLYHEAD_HDF5(H5Pget_chunk(create, rank, chunk.data()));
    source.chunk = std::max<hsize_t>(chunk[0], 1);
    if (bytes > kBomb && bytes / kMaxRatio > stored)
      fail(
          fmt::format("/{} declares {} bytes and stores {}: too large for a chunked dataset, it would unpack to more "
                      "than a thousand times its size",
                      source.path, bytes, stored));
    const std::uint64_t row = std::max<std::uint64_t>(source.width, 1) * source.element;
    if (std::min(bytes / row, source.chunk) > kMaxPiece / row)
      fail(
          fmt::format("/{} has chunks of {} rows of {} bytes: more than {} MiB would be decoded at once; h5repack -l "
                      "CONTI makes it contiguous",
                      source.path, source.chunk, row, kMaxPiece >> 20));
  }

  // Returns the checksums of a dataset, which are computed over little-endian bytes; empty if there are none or they
  // are not used.
  std::vector<std::uint64_t> integrity(const std::string& path, std::uint64_t bytes) const {
    std::string name = path;
    std::replace(name.begin(), name.end(), '/', '.');
    name = "integrity/" + name;
    if (options_.verify == Verify::off || path.starts_with("integrity/") || !has(name)) return {};
    const Column column = column_here(name, {Type::u64}, {}, 0);
    const std::uint64_t blocks = bytes / kIntegrityBlock + (bytes % kIntegrityBlock > 0 ? 1 : 0);
    if (column.size() != blocks) fail(fmt::format("/{} has {} checksums, expected {}", name, column.size(), blocks));
    std::vector<std::uint64_t> hashes(blocks);
    const Handle set = hdf5::open_dataset(file_, name);
    if (blocks > 0) POLYHEAD_HDF5(H5Dread(set, memory_type(Type::u64), H5S_ALL, H5S_ALL, H5P_DEFAULT, hashes.data()));
    return hashes;
  }

  // Checks the number of offsets, [samples + 1]. Their first and last value are checked with the first and last block.
  void check_count(const Column& offsets, std::uint64_t samples) const {
    if (offsets.size() == 0 || offsets.size() - 1 != samples)
      fail(fmt::format("/{} has {} entries, expected samples + 1 = {}", offsets.path(), offsets.size(), samples + 1));
  }

  void check_rows(const Column& column, std::uint64_t expected, const char* what) const {
    if (column.size() != expected)
      fail(fmt::format("/{} has {} entries, expected {} ({})", column.path(), column.size(), expected, what));
  }

  void read_texts(const std::string& group, std::uint64_t samples, Column& text, Column& offsets) const {
    text = optional(group + "/text", {Type::u8}, {});
    if (!text.present()) return;
    offsets = column(group + "/text_offsets", {Type::u64}, {Rule::What::offset, text.size()});
    check_count(offsets, samples);
  }

  PooledFile& pooled_;
  hid_t file_;
  const ReadOptions& options_;
};

void ShardReader::read_columns(const ShardExpectation& expected, Shard& out) const {
  const std::uint64_t n = out.samples_;
  if (has("input/features") && !has("input/tokens")) {
    if (expected.kind == Kind::masked_lm) fail("it holds /input/features, but masked_lm is of tokens");
    out.features = column("input/features", {Type::f32}, {Rule::What::finite}, kAnyWidth);
    out.feature_width_ = out.features.width();
    out.input_rows_ = out.features.size() / out.feature_width_;
  } else {
    out.input = column("input/tokens", {Type::u16, Type::u32}, {Rule::What::token, expected.vocab_size});
    out.input_rows_ = out.input.size();
  }
  out.input_offsets = column("input/offsets", {Type::u64}, {Rule::What::filled, out.input_rows_});
  check_count(out.input_offsets, n);
  out.second = optional("input/second", {Type::u32}, {});
  if (out.second.present()) check_rows(out.second, n, "samples");
  read_texts("input", n, out.input_text, out.input_text_offsets);

  switch (expected.kind) {
    case Kind::classification:
      out.label = column("target/label", {Type::u32}, {Rule::What::label, expected.classes});
      check_rows(out.label, n, "samples");
      break;
    case Kind::multilabel:
      out.labels = column("target/labels", {Type::u8}, {Rule::What::zero_one}, expected.classes);
      check_rows(out.labels, n * expected.classes, "samples x classes");
      break;
    case Kind::regression:
      out.value =
          column("target/value", {Type::f32}, {Rule::What::finite}, expected.outputs > 1 ? expected.outputs : 0);
      check_rows(out.value, n * expected.outputs, "samples x outputs");
      break;
    case Kind::tagging:
      out.tags = column("target/tags", {Type::u16}, {Rule::What::tag, expected.classes});
      check_rows(out.tags, out.input_rows_, "input tokens");
      break;
    case Kind::translation:
      out.target = column("target/tokens", {Type::u16, Type::u32}, {Rule::What::token, expected.vocab_size});
      out.target_offsets = column("target/offsets", {Type::u64}, {Rule::What::filled, out.target.size()});
      check_count(out.target_offsets, n);
      break;
    case Kind::masked_lm:
      break;
  }
  if (expected.kind == Kind::tagging || expected.kind == Kind::translation)
    read_texts("target", n, out.target_text, out.target_text_offsets);
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
    in.read_columns(expected, *this);
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with("HDF5")) fail_shard(file, error.what());
    throw;
  }
  if (options.verify == Verify::open) check_everything();
}

void Shard::check_everything() const {
  Scratch scratch;
  for (const Column* column : {&input, &features, &input_offsets, &second, &input_text, &input_text_offsets, &label,
                               &labels, &value, &tags, &target, &target_offsets, &target_text, &target_text_offsets})
    column->check_all();
  for (std::uint64_t i = 0; i < samples_; ++i) {
    second_of(i, input_range(i, scratch).size(), scratch);
    if (target.present()) target_range(i, scratch);
    if (input_text.present()) range(input_text_offsets, input_text.size(), i, scratch);
    if (target_text.present()) range(target_text_offsets, target_text.size(), i, scratch);
  }
}

Extent Shard::range(const Column& offsets, std::uint64_t rows, std::uint64_t sample, Scratch& scratch) const {
  const std::byte* pair = offsets.view(sample, 2, scratch);
  const Extent found{Column::load<std::uint64_t>(pair, 0), Column::load<std::uint64_t>(pair, 1)};
  // A pair that spans two blocks is not checked with either of them, and without a check later reads could leave the
  // column.
  if (found.first > found.last) fail_shard(path(), fmt::format("/{} decreases at sample {}", offsets.path(), sample));
  if (found.last > rows)
    fail_shard(path(), fmt::format("/{} reaches {} at sample {}, but there are {} elements", offsets.path(), found.last,
                                   sample, rows));
  return found;
}

Extent Shard::filled(const Column& offsets, std::uint64_t rows, std::uint64_t sample, Scratch& scratch) const {
  const Extent found = range(offsets, rows, sample, scratch);
  if (found.size() == 0)
    fail_shard(path(), fmt::format("sample {} of /{} is an empty sequence", sample, offsets.path()));
  return found;
}

std::uint64_t Shard::second_of(std::uint64_t sample, std::uint64_t length, Scratch& scratch) const {
  if (!second.present()) return 0;
  const auto at = second.at<std::uint32_t>(sample, scratch);
  if (at >= length)
    fail_shard(path(), fmt::format("/input/second of sample {} is beyond the end of its sequence", sample));
  return at;
}

void check_shard(const fs::path& file, const ShardExpectation& expected) {
  const Shard checked(file, expected,
                      {.access = Access::automatic, .verify = Verify::open, .pool = FilePool::shared()});
}

}  // namespace polyhead
