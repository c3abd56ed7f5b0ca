// Writes a shard as in docs/format.md, including checksums.
#include "datasets/shard_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "datasets/hdf5.h"
#include "datasets/shard.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using hdf5::Handle;
using hdf5::Session;

static_assert(std::endian::native == std::endian::little, "integrity checksums are of little-endian bytes");

void write_text_attribute(hid_t where, const char* name, std::string_view value) {
  const Handle type(POLYHEAD_HDF5(H5Tcopy(H5T_C_S1)), H5Tclose);
  POLYHEAD_HDF5(H5Tset_size(type, std::max<std::size_t>(value.size(), 1)));
  POLYHEAD_HDF5(H5Tset_strpad(type, H5T_STR_NULLPAD));
  POLYHEAD_HDF5(H5Tset_cset(type, H5T_CSET_UTF8));
  const Handle space(POLYHEAD_HDF5(H5Screate(H5S_SCALAR)), H5Sclose);
  const Handle attribute(POLYHEAD_HDF5(H5Acreate2(where, name, type, space, H5P_DEFAULT, H5P_DEFAULT)), H5Aclose);
  POLYHEAD_HDF5(H5Awrite(attribute, type, std::string(value).c_str()));
}

void write_number_attribute(hid_t where, const char* name, std::uint64_t value) {
  const Handle space(POLYHEAD_HDF5(H5Screate(H5S_SCALAR)), H5Sclose);
  const Handle attribute(POLYHEAD_HDF5(H5Acreate2(where, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT)),
                         H5Aclose);
  POLYHEAD_HDF5(H5Awrite(attribute, H5T_NATIVE_UINT64, &value));
}

constexpr std::uint64_t kChunk = 256ULL << 10;  // approximate bytes per chunk: four fit into HDF5's cache of a dataset

class Writer {
 public:
  Writer(hid_t file, const ShardStorage& storage) : file_(file), storage_(storage) {}

  void group(const char* name) const {
    const Handle create(POLYHEAD_HDF5(H5Pcreate(H5P_GROUP_CREATE)), H5Pclose);
    POLYHEAD_HDF5(H5Pset_obj_track_times(create, false));
    const Handle made(POLYHEAD_HDF5(H5Gcreate2(file_, name, H5P_DEFAULT, create, H5P_DEFAULT)), H5Gclose);
  }

  // Writes a dataset "group/name" and its checksums. It has `rows` x `width` elements (width 0: one dimension).
  void dataset(const std::string& path, hid_t type, const void* data, std::uint64_t rows,
               std::uint64_t width = 0) const {
    put(path, type, data, rows, width, storage_.chunked && rows > 0);
    const std::uint64_t bytes = rows * std::max<std::uint64_t>(width, 1) * H5Tget_size(type);
    std::vector<std::uint64_t> hashes;
    for (std::uint64_t at = 0; at < bytes; at += kIntegrityBlock)
      hashes.push_back(hash_bytes(static_cast<const std::byte*>(data) + at, std::min(kIntegrityBlock, bytes - at)));
    std::string name = path;
    std::replace(name.begin(), name.end(), '/', '.');
    put("integrity/" + name, H5T_STD_U64LE, hashes.data(), hashes.size(), 0, false);
  }

  void ragged_tokens(const std::string& group, const Ragged<std::uint32_t>& tokens, bool narrow) const {
    if (narrow) {
      const std::vector<std::uint16_t> small(tokens.values.begin(), tokens.values.end());
      dataset(group + "/tokens", H5T_STD_U16LE, small.data(), small.size());
    } else {
      dataset(group + "/tokens", H5T_STD_U32LE, tokens.values.data(), tokens.values.size());
    }
    dataset(group + "/offsets", H5T_STD_U64LE, tokens.offsets.data(), tokens.offsets.size());
  }

  void texts(const std::string& group, const Ragged<char>& text) const {
    dataset(group + "/text", H5T_STD_U8LE, text.values.data(), text.values.size());
    dataset(group + "/text_offsets", H5T_STD_U64LE, text.offsets.data(), text.offsets.size());
  }

 private:
  void put(const std::string& path, hid_t type, const void* data, std::uint64_t rows, std::uint64_t width,
           bool chunked) const {
    const std::array<hsize_t, 2> extent = {rows, width};
    const Handle create(POLYHEAD_HDF5(H5Pcreate(H5P_DATASET_CREATE)), H5Pclose);
    POLYHEAD_HDF5(H5Pset_obj_track_times(create, false));
    POLYHEAD_HDF5(H5Pset_fill_time(create, H5D_FILL_TIME_NEVER));
    if (chunked) {
      const std::uint64_t row = std::max<std::uint64_t>(width, 1) * H5Tget_size(type);
      const std::array<hsize_t, 2> chunk = {std::clamp<std::uint64_t>(kChunk / row, 1, rows), width};
      POLYHEAD_HDF5(H5Pset_chunk(create, width > 0 ? 2 : 1, chunk.data()));
      if (storage_.shuffle) POLYHEAD_HDF5(H5Pset_shuffle(create));
      if (storage_.deflate > 0) POLYHEAD_HDF5(H5Pset_deflate(create, static_cast<unsigned>(storage_.deflate)));
      if (storage_.fletcher32) POLYHEAD_HDF5(H5Pset_fletcher32(create));
    } else {
      POLYHEAD_HDF5(H5Pset_layout(create, H5D_CONTIGUOUS));
    }
    const Handle space(POLYHEAD_HDF5(H5Screate_simple(width > 0 ? 2 : 1, extent.data(), nullptr)), H5Sclose);
    const Handle made(POLYHEAD_HDF5(H5Dcreate2(file_, path.c_str(), type, space, H5P_DEFAULT, create, H5P_DEFAULT)),
                      H5Dclose);
    if (rows > 0) POLYHEAD_HDF5(H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data));
  }

  hid_t file_;
  const ShardStorage& storage_;
};

void write_file(const fs::path& path, const ShardContent& c, const ShardStorage& storage) {
  const Session session;
  const Handle access(POLYHEAD_HDF5(H5Pcreate(H5P_FILE_ACCESS)), H5Pclose);
  POLYHEAD_HDF5(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V110));
  const Handle create(POLYHEAD_HDF5(H5Pcreate(H5P_FILE_CREATE)), H5Pclose);
  POLYHEAD_HDF5(H5Pset_obj_track_times(create, false));
  const Handle file(POLYHEAD_HDF5(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, create, access)), H5Fclose);
  write_text_attribute(file, "format", "polyhead-shard");
  write_number_attribute(file, "version", 1);
  write_text_attribute(file, "task", c.task);
  write_text_attribute(file, "kind", name_of(c.kind));
  write_text_attribute(file, "split", c.split);
  write_number_attribute(file, "samples", c.samples());

  const Writer out(file, storage);
  const bool narrow = c.vocab_size <= 65536;
  const std::uint64_t n = c.samples();
  out.group("input");
  out.group("integrity");
  if (c.feature_width > 0) {
    out.dataset("input/features", H5T_IEEE_F32LE, c.features.data(), c.input.offsets.back(), c.feature_width);
    out.dataset("input/offsets", H5T_STD_U64LE, c.input.offsets.data(), c.input.offsets.size());
  } else {
    out.ragged_tokens("input", c.input, narrow);
  }
  if (!c.second.empty()) out.dataset("input/second", H5T_STD_U32LE, c.second.data(), n);
  if (c.input_text) out.texts("input", *c.input_text);
  if (c.kind != Kind::masked_lm) out.group("target");
  switch (c.kind) {
    case Kind::classification:
      out.dataset("target/label", H5T_STD_U32LE, c.label.data(), n);
      break;
    case Kind::multilabel:
      out.dataset("target/labels", H5T_STD_U8LE, c.labels.data(), n, c.width);
      break;
    case Kind::regression:
      out.dataset("target/value", H5T_IEEE_F32LE, c.value.data(), n, c.width > 1 ? c.width : 0);
      break;
    case Kind::tagging:
      out.dataset("target/tags", H5T_STD_U16LE, c.tags.data(), c.tags.size());
      break;
    case Kind::translation:
      out.ragged_tokens("target", c.target, narrow);
      break;
    case Kind::masked_lm:
      break;
  }
  if (c.target_text) out.texts("target", *c.target_text);
  POLYHEAD_HDF5(H5Fflush(file, H5F_SCOPE_LOCAL));
}

}  // namespace

void write_shard(const fs::path& file, const ShardContent& content, const ShardStorage& storage) {
  const fs::path temporary = file.string() + ".tmp";
  try {
    write_file(temporary, content, storage);
    sync_path(temporary);
    rename_and_sync(temporary, file);
  } catch (const Error& error) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw Error(Exit::cannot_write, fmt::format("cannot write the shard {}: {}", file.string(), error.what()));
  }
}

}  // namespace polyhead
