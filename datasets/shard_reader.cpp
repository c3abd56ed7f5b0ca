// Checks attributes, links, types, extents, layouts and filters of a shard.
#include "datasets/shard_reader.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/hdf5.h"
#include "datasets/shard.h"

namespace polyhead {
namespace {

using hdf5::Handle;

constexpr std::array<std::string_view, 5> kTypeNames = {"u8", "u16", "u32", "u64", "f32"};
constexpr std::array<unsigned, 5> kTypeBytes = {1, 2, 4, 8, 4};

// Limits on the size of chunked datasets: above kBomb bytes, the ratio of unpacked to stored size is limited.
constexpr std::uint64_t kBomb = 4ULL << 30, kMaxRatio = 1000;
// Maximum bytes of the rows in one row of chunks, which are decoded together.
constexpr std::uint64_t kMaxPiece = 256ULL << 20;

Handle open_attribute(const ShardReader& in, hid_t file, const char* name) {
  if (POLYHEAD_HDF5(H5Aexists(file, name)) == 0) in.fail(fmt::format("its attribute '{}' is missing", name));
  Handle attribute(POLYHEAD_HDF5(H5Aopen(file, name, H5P_DEFAULT)), H5Aclose);
  const Handle space(POLYHEAD_HDF5(H5Aget_space(attribute)), H5Sclose);
  if (H5Sget_simple_extent_npoints(space) != 1) in.fail(fmt::format("its attribute '{}' is not one value", name));
  return attribute;
}

// Whether a group or dataset exists. Its link must be a hard one.
bool component(const ShardReader& in, hid_t file, const std::string& path, H5O_type_t expected) {
  if (POLYHEAD_HDF5(H5Lexists(file, path.c_str(), H5P_DEFAULT)) == 0) return false;
  H5L_info_t link;
  POLYHEAD_HDF5(H5Lget_info(file, path.c_str(), &link, H5P_DEFAULT));
  if (link.type != H5L_TYPE_HARD)
    in.fail(fmt::format("/{} is {} link; only hard links are allowed", path,
                        link.type == H5L_TYPE_SOFT       ? "a soft"
                        : link.type == H5L_TYPE_EXTERNAL ? "an external"
                                                         : "a user-defined"));
  H5O_info_t object;
  POLYHEAD_HDF5(H5Oget_info_by_name2(file, path.c_str(), &object, H5O_INFO_BASIC, H5P_DEFAULT));
  if (object.type != expected)
    in.fail(fmt::format("/{} is not a {}", path, expected == H5O_TYPE_GROUP ? "group" : "dataset"));
  return true;
}

}  // namespace

std::int64_t hdf5_type(ColumnType type) {
  switch (type) {
    case ColumnType::u8:
      return H5T_STD_U8LE;
    case ColumnType::u16:
      return H5T_STD_U16LE;
    case ColumnType::u32:
      return H5T_STD_U32LE;
    case ColumnType::u64:
      return H5T_STD_U64LE;
    case ColumnType::f32:
      return H5T_IEEE_F32LE;
  }
  return -1;
}

std::string ShardReader::text_attribute(const char* name) const {
  const Handle attribute = open_attribute(*this, file_, name);
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

std::uint64_t ShardReader::number_attribute(const char* name) const {
  const Handle attribute = open_attribute(*this, file_, name);
  const Handle type(POLYHEAD_HDF5(H5Aget_type(attribute)), H5Tclose);
  if (H5Tget_class(type) != H5T_INTEGER) fail(fmt::format("its attribute '{}' is not an integer", name));
  // Negative numbers would be clamped to 0 in a conversion to an unsigned type.
  std::int64_t value = 0;
  POLYHEAD_HDF5(H5Aread(attribute, H5T_NATIVE_INT64, &value));
  if (value < 0) fail(fmt::format("its attribute '{}' is negative", name));
  return static_cast<std::uint64_t>(value);
}

bool ShardReader::has(const std::string& path) const {
  const std::string group = path.substr(0, path.find('/'));
  return component(*this, file_, group, H5O_TYPE_GROUP) && component(*this, file_, path, H5O_TYPE_DATASET);
}

Column ShardReader::column(const std::string& path, std::initializer_list<ColumnType> types, Rule rule,
                           std::uint64_t width) const {
  if (!has(path)) fail(fmt::format("/{} is missing", path));
  return column_here(path, types, rule, width);
}
Column ShardReader::optional(const std::string& path, std::initializer_list<ColumnType> types, Rule rule,
                             std::uint64_t width) const {
  return has(path) ? column_here(path, types, rule, width) : Column{};
}

Column ShardReader::column_here(const std::string& path, std::initializer_list<ColumnType> types, Rule rule,
                                std::uint64_t width) const {
  const Handle set = hdf5::open_dataset(file_, path);
  const Handle create(POLYHEAD_HDF5(H5Dget_create_plist(set)), H5Pclose);
  check_storage(path, create);

  const Handle stored(POLYHEAD_HDF5(H5Dget_type(set)), H5Tclose);
  const auto type = std::find_if(types.begin(), types.end(), [&](ColumnType one) {
    const H5T_class_t wanted = one == ColumnType::f32 ? H5T_FLOAT : H5T_INTEGER;
    return H5Tget_class(stored) == wanted && H5Tget_size(stored) == kTypeBytes[static_cast<std::size_t>(one)] &&
           (wanted == H5T_FLOAT || H5Tget_sign(stored) == H5T_SGN_NONE);
  });
  std::vector<std::string_view> names;
  for (const ColumnType one : types) names.push_back(kTypeNames[static_cast<std::size_t>(one)]);
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
  source.memory_type = hdf5_type(*type);
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

void ShardReader::check_storage(const std::string& path, std::int64_t create) const {
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

void ShardReader::locate(std::int64_t set, std::int64_t create, std::uint64_t bytes, int rank,
                         ColumnSource& source) const {
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

std::vector<std::uint64_t> ShardReader::integrity(const std::string& path, std::uint64_t bytes) const {
  std::string name = path;
  std::replace(name.begin(), name.end(), '/', '.');
  name = "integrity/" + name;
  if (options_.verify == Verify::off || path.starts_with("integrity/") || !has(name)) return {};
  const Column column = column_here(name, {ColumnType::u64}, {}, 0);
  const std::uint64_t blocks = bytes / kIntegrityBlock + (bytes % kIntegrityBlock > 0 ? 1 : 0);
  if (column.size() != blocks) fail(fmt::format("/{} has {} checksums, expected {}", name, column.size(), blocks));
  std::vector<std::uint64_t> hashes(blocks);
  const Handle set = hdf5::open_dataset(file_, name);
  if (blocks > 0) POLYHEAD_HDF5(H5Dread(set, hdf5_type(ColumnType::u64), H5S_ALL, H5S_ALL, H5P_DEFAULT, hashes.data()));
  return hashes;
}

void ShardReader::check_count(const Column& offsets, std::uint64_t samples) const {
  if (offsets.size() == 0 || offsets.size() - 1 != samples)
    fail(fmt::format("/{} has {} entries, expected samples + 1 = {}", offsets.path(), offsets.size(), samples + 1));
}

void ShardReader::check_rows(const Column& column, std::uint64_t expected, const char* what) const {
  if (column.size() != expected)
    fail(fmt::format("/{} has {} entries, expected {} ({})", column.path(), column.size(), expected, what));
}

void ShardReader::texts(const std::string& group, std::uint64_t samples, Column& text, Column& offsets) const {
  text = optional(group + "/text", {ColumnType::u8}, {});
  if (!text.present()) return;
  offsets = column(group + "/text_offsets", {ColumnType::u64}, {Rule::What::offset, text.size()});
  check_count(offsets, samples);
}

}  // namespace polyhead
