// Opens a shard and checks everything that docs/format.md says of one, then maps its columns.
#include "datasets/shard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <functional>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "datasets/hdf5.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using hdf5::Handle;
using hdf5::Session;

static_assert(std::endian::native == std::endian::little, "shards are mapped as they lie: little endian");

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

// A chunked dataset is read whole into memory: what one may declare, and by how much it may claim to unpack.
constexpr std::uint64_t kMaxChunked = 16ULL << 30, kBomb = 4ULL << 30, kMaxRatio = 1000;

class Reader {
 public:
  Reader(const fs::path& path, hid_t file, const std::byte* map, std::uint64_t bytes)
      : path_(path), file_(file), map_(map), bytes_(bytes) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Exit::data,
                fmt::format("shard {}: {}. The file breaks the dataset format (docs/format.md) or is damaged: import "
                            "the data set anew, or take another copy.",
                            path_.string(), what));
  }

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
    // Negative numbers would be clamped to 0 on conversion to an unsigned type.
    std::int64_t value = 0;
    POLYHEAD_HDF5(H5Aread(attribute, H5T_NATIVE_INT64, &value));
    if (value < 0) fail(fmt::format("its attribute '{}' is negative", name));
    return static_cast<std::uint64_t>(value);
  }

  // Whether "group/name" is there. Every link on the way must be a hard one.
  bool has(const std::string& path) const {
    const std::string group = path.substr(0, path.find('/'));
    return component(group, H5O_TYPE_GROUP) && component(path, H5O_TYPE_DATASET);
  }

  // A dataset of one of the types; `width` 0: one dimension, else [any, width].
  Column column(const std::string& path, std::initializer_list<Type> types, std::uint64_t width = 0) const {
    if (!has(path)) fail(fmt::format("/{} is missing", path));
    return column_here(path, types, width);
  }
  Column optional(const std::string& path, std::initializer_list<Type> types) const {
    return has(path) ? column_here(path, types, 0) : Column{};
  }

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

  Column column_here(const std::string& path, std::initializer_list<Type> types, std::uint64_t width) const {
    const Handle set(POLYHEAD_HDF5(H5Dopen2(file_, path.c_str(), H5P_DEFAULT)), H5Dclose);
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
    if (width > 0 && extent[1] != width) fail(fmt::format("/{} has {} columns, expected {}", path, extent[1], width));

    Column out;
    out.element = kTypeBytes[static_cast<std::size_t>(*type)];
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(extent[0], std::max<std::uint64_t>(width, 1), &out.size) ||
        __builtin_mul_overflow(out.size, out.element, &bytes))
      fail(fmt::format("/{} declares more elements than an address can count", path));
    const bool as_it_lies = POLYHEAD_HDF5(H5Tequal(stored, memory_type(*type))) > 0;
    read(path, set, create, *type, bytes, as_it_lies, out);
    check_integrity(path, bytes, out);
    return out;
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

  void read(const std::string& path, hid_t set, hid_t create, Type type, std::uint64_t bytes, bool as_it_lies,
            Column& out) const {
    static constexpr std::byte nothing{};
    if (bytes == 0) {
      out.data = &nothing;
      return;
    }
    const std::uint64_t stored = H5Dget_storage_size(set);
    if (H5Pget_layout(create) == H5D_CONTIGUOUS) {
      const haddr_t offset = H5Dget_offset(set);
      if (offset == HADDR_UNDEF) fail(fmt::format("/{} declares {} bytes and stores none", path, bytes));
      if (stored != bytes || offset > bytes_ || bytes > bytes_ - offset)
        fail(fmt::format("/{} claims {} bytes at {}, the file has {}", path, bytes, offset, bytes_));
      if (as_it_lies) {
        out.data = map_ + offset;
        return;
      }
    } else if (bytes > kMaxChunked || (bytes > kBomb && bytes / kMaxRatio > stored)) {
      fail(fmt::format(
          "/{} declares {} bytes and stores {}: too large for a chunked dataset (h5repack -l CONTI makes it "
          "contiguous)",
          path, bytes, stored));
    }
    out.owned.resize(bytes);
    out.data = out.owned.data();
    POLYHEAD_HDF5(H5Dread(set, memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, out.owned.data()));
  }

  // Checksums are of little-endian bytes, which a big-endian dataset has become on reading.
  void check_integrity(const std::string& path, std::uint64_t bytes, const Column& column) const {
    std::string name = path;
    std::replace(name.begin(), name.end(), '/', '.');
    name = "integrity/" + name;
    if (path.starts_with("integrity/") || !has(name)) return;
    const Column hashes = column_here(name, {Type::u64}, 0);
    const std::uint64_t blocks = bytes / kIntegrityBlock + (bytes % kIntegrityBlock > 0 ? 1 : 0);
    if (hashes.size != blocks) fail(fmt::format("/{} has {} checksums, expected {}", name, hashes.size, blocks));
    for (std::uint64_t i = 0; i < blocks; ++i) {
      const std::uint64_t at = i * kIntegrityBlock;
      if (hash_bytes(column.data + at, std::min(kIntegrityBlock, bytes - at)) != hashes.at<std::uint64_t>(i))
        fail(fmt::format("/{} differs from its checksum in block {} of 1 MiB", path, i));
    }
  }

  const fs::path& path_;
  hid_t file_;
  const std::byte* map_;
  std::uint64_t bytes_;
};

// --- the format's rules
// ----------------------------------------------------------------------------------------------------

// Offsets [samples + 1] from 0 to `end`, never decreasing; `filled`: no sequence is empty.
void check_offsets(const Reader& in, const std::string& path, const Column& offsets, std::uint64_t samples,
                   std::uint64_t end, bool filled) {
  if (offsets.size == 0 || offsets.size - 1 != samples)
    in.fail(fmt::format("/{} has {} entries, expected samples + 1 = {}", path, offsets.size, samples + 1));
  std::uint64_t before = offsets.at<std::uint64_t>(0);
  if (before != 0) in.fail(fmt::format("/{} starts at {}, expected 0", path, before));
  for (std::uint64_t i = 1; i <= samples; ++i) {
    const std::uint64_t here = offsets.at<std::uint64_t>(i);
    if (here < before) in.fail(fmt::format("/{} decreases at sample {}", path, i - 1));
    if (filled && here == before) in.fail(fmt::format("sample {} of /{} is an empty sequence", i - 1, path));
    before = here;
  }
  if (before != end) in.fail(fmt::format("/{} ends at {}, but there are {} elements", path, before, end));
}

void check_tokens(const Reader& in, const std::string& path, const Column& tokens, std::uint64_t vocab) {
  for (std::uint64_t i = 0; i < tokens.size; ++i)
    if (tokens.token(i) >= vocab)
      in.fail(fmt::format("/{} holds the id {} at {}; the vocabulary has {} entries", path, tokens.token(i), i, vocab));
}

void check_rows(const Reader& in, const std::string& path, const Column& column, std::uint64_t expected,
                const char* what) {
  if (column.size != expected)
    in.fail(fmt::format("/{} has {} entries, expected {} ({})", path, column.size, expected, what));
}

void read_texts(const Reader& in, const std::string& group, std::uint64_t samples, Column& text, Column& offsets) {
  text = in.optional(group + "/text", {Type::u8});
  if (text.element == 0) return;
  offsets = in.column(group + "/text_offsets", {Type::u64});
  check_offsets(in, group + "/text_offsets", offsets, samples, text.size, false);
}

void read_columns(const Reader& in, const ShardExpectation& expected, std::uint64_t n, Shard& out) {
  if (!in.has("input/tokens") && in.has("input/features"))
    in.fail("it holds /input/features, sequences of vectors, which this version does not train on");
  out.input = in.column("input/tokens", {Type::u16, Type::u32});
  out.input_offsets = in.column("input/offsets", {Type::u64});
  check_offsets(in, "input/offsets", out.input_offsets, n, out.input.size, true);
  check_tokens(in, "input/tokens", out.input, expected.vocab_size);
  out.second = in.optional("input/second", {Type::u32});
  if (out.second.element > 0) {
    check_rows(in, "input/second", out.second, n, "samples");
    for (std::uint64_t i = 0; i < n; ++i)
      if (out.second.at<std::uint32_t>(i) >=
          out.input_offsets.at<std::uint64_t>(i + 1) - out.input_offsets.at<std::uint64_t>(i))
        in.fail(fmt::format("/input/second of sample {} lies behind its sequence", i));
  }
  read_texts(in, "input", n, out.input_text, out.input_text_offsets);

  switch (expected.kind) {
    case Kind::classification:
      out.label = in.column("target/label", {Type::u32});
      check_rows(in, "target/label", out.label, n, "samples");
      for (std::uint64_t i = 0; i < n; ++i)
        if (out.label.at<std::uint32_t>(i) >= expected.classes)
          in.fail(fmt::format("/target/label of sample {} is {}; the task has {} classes", i,
                              out.label.at<std::uint32_t>(i), expected.classes));
      break;
    case Kind::multilabel:
      out.labels = in.column("target/labels", {Type::u8}, expected.classes);
      check_rows(in, "target/labels", out.labels, n * expected.classes, "samples x classes");
      for (std::uint64_t i = 0; i < out.labels.size; ++i)
        if (out.labels.at<std::uint8_t>(i) > 1)
          in.fail(fmt::format("/target/labels of sample {} holds {}, expected 0 or 1", i / expected.classes,
                              out.labels.at<std::uint8_t>(i)));
      break;
    case Kind::regression:
      out.value = in.column("target/value", {Type::f32}, expected.outputs > 1 ? expected.outputs : 0);
      check_rows(in, "target/value", out.value, n * expected.outputs, "samples x outputs");
      for (std::uint64_t i = 0; i < out.value.size; ++i)
        if (!std::isfinite(out.value.at<float>(i)))
          in.fail(fmt::format("/target/value of sample {} is not a finite number", i / expected.outputs));
      break;
    case Kind::tagging:
      out.tags = in.column("target/tags", {Type::u16});
      check_rows(in, "target/tags", out.tags, out.input.size, "input tokens");
      for (std::uint64_t i = 0; i < out.tags.size; ++i) {
        const auto tag = out.tags.at<std::uint16_t>(i);
        if (tag != kNotScored && tag >= expected.classes)
          in.fail(fmt::format("/target/tags holds {} at {}; the task has {} tags", tag, i, expected.classes));
      }
      break;
    case Kind::translation:
      out.target = in.column("target/tokens", {Type::u16, Type::u32});
      out.target_offsets = in.column("target/offsets", {Type::u64});
      check_offsets(in, "target/offsets", out.target_offsets, n, out.target.size, true);
      check_tokens(in, "target/tokens", out.target, expected.vocab_size);
      break;
    case Kind::masked_lm:
      break;
  }
  if (expected.kind == Kind::tagging || expected.kind == Kind::translation)
    read_texts(in, "target", n, out.target_text, out.target_text_offsets);
}

// The file mapped whole; throws Error(data).
const std::byte* map_file(const fs::path& file, void*& map, std::size_t& bytes) {
  const auto fail = [&] {
    throw Error(Exit::data, fmt::format("cannot open the shard {}: {}. Is the data set complete?", file.string(),
                                        std::system_category().message(errno)));
  };
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail();
  struct stat about {};
  const bool known = ::fstat(descriptor, &about) == 0;
  bytes = static_cast<std::size_t>(about.st_size);
  if (known && bytes > 0) map = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  const int reason = errno;
  ::close(descriptor);
  errno = reason;
  if (!known || map == MAP_FAILED) map = nullptr, fail();
  return static_cast<const std::byte*>(map);
}

}  // namespace

Shard::Shard(const fs::path& file, const ShardExpectation& expected) {
  const std::byte* bytes = map_file(file, map_, map_bytes_);
  try {
    const ShardInfo& info = expected.info;
    const Reader plain(file, -1, bytes, map_bytes_);
    const std::string changed =
        "; if the file was changed on purpose, take 'bytes' and 'sha256' of this shard out of dataset.json";
    if (info.bytes > 0 && info.bytes != map_bytes_)
      plain.fail(fmt::format("it has {} bytes, the manifest says {}{}", map_bytes_, info.bytes, changed));
    if (!info.sha256.empty() && sha256(std::string_view(static_cast<const char*>(map_), map_bytes_)) != info.sha256)
      plain.fail("its SHA-256 is not the manifest's" + changed);

    const Session session;
    const Handle access(POLYHEAD_HDF5(H5Pcreate(H5P_FILE_ACCESS)), H5Pclose);
    POLYHEAD_HDF5(H5Pset_file_locking(access, false, true));
    Handle opened;
    try {
      opened = Handle(POLYHEAD_HDF5(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access)), H5Fclose);
    } catch (const Error& error) {
      plain.fail(error.what());
    }
    const Reader in(file, opened, bytes, map_bytes_);
    const auto expect = [&](const char* name, std::string_view value) {
      const std::string found = in.text_attribute(name);
      if (found != value) in.fail(fmt::format("its attribute '{}' is '{}', expected '{}'", name, found, value));
    };
    try {
      expect("format", "polyhead-shard");
      if (in.number_attribute("version") != 1)
        in.fail(fmt::format("it has version {} of the format; this program reads version 1",
                            in.number_attribute("version")));
      expect("task", expected.task);
      expect("kind", name_of(expected.kind));
      expect("split", expected.split);
      samples_ = in.number_attribute("samples");
      if (samples_ != info.samples)
        in.fail(fmt::format("its attribute 'samples' is {}, the manifest says {}", samples_, info.samples));
      read_columns(in, expected, samples_, *this);
    } catch (const Error& error) {
      if (std::string_view(error.what()).starts_with("HDF5")) in.fail(error.what());
      throw;
    }
  } catch (...) {
    if (map_ != nullptr) ::munmap(map_, map_bytes_);
    throw;
  }
}

Shard::~Shard() {
  if (map_ != nullptr) ::munmap(map_, map_bytes_);
}

void check_shard(const fs::path& file, const ShardExpectation& expected) {
  const Shard checked(file, expected);
}

}  // namespace polyhead
