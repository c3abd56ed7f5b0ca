// Writes datasets and their checksums through HDF5.
#include "datasets/column_writer.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/base/hash.h"
#include "datasets/hdf5.h"
#include "datasets/shard.h"

namespace polyhead {
namespace {

using hdf5::Handle;

static_assert(std::endian::native == std::endian::little, "integrity checksums are of little-endian bytes");

constexpr std::uint64_t kChunk = 256ULL << 10;  // approximate bytes per chunk: four fit into HDF5's cache of a dataset

}  // namespace

void ColumnWriter::group(const char* name) const {
  const Handle create(POLYHEAD_HDF5(H5Pcreate(H5P_GROUP_CREATE)), H5Pclose);
  POLYHEAD_HDF5(H5Pset_obj_track_times(create, false));
  const Handle made(POLYHEAD_HDF5(H5Gcreate2(file_, name, H5P_DEFAULT, create, H5P_DEFAULT)), H5Gclose);
}

void ColumnWriter::put_checked(const std::string& path, ColumnType type, const void* data, std::uint64_t rows,
                               std::uint64_t width) const {
  put(path, type, data, rows, width, storage_.chunked && rows > 0);
  const std::uint64_t bytes = rows * std::max<std::uint64_t>(width, 1) * H5Tget_size(hdf5_type(type));
  std::vector<std::uint64_t> hashes;
  for (std::uint64_t at = 0; at < bytes; at += kIntegrityBlock)
    hashes.push_back(hash_bytes(static_cast<const std::byte*>(data) + at, std::min(kIntegrityBlock, bytes - at)));
  std::string name = path;
  std::replace(name.begin(), name.end(), '/', '.');
  put("integrity/" + name, ColumnType::u64, hashes.data(), hashes.size(), 0, false);
}

void ColumnWriter::ragged_tokens(const std::string& group, const Ragged<std::uint32_t>& tokens,
                                 std::uint64_t vocab_size) const {
  if (vocab_size <= 65536)
    dataset(group + "/tokens", std::vector<std::uint16_t>(tokens.values.begin(), tokens.values.end()));
  else
    dataset(group + "/tokens", tokens.values);
  dataset(group + "/offsets", tokens.offsets);
}

void ColumnWriter::texts(const std::string& group, const Ragged<char>& text) const {
  dataset(group + "/text", text.values);
  dataset(group + "/text_offsets", text.offsets);
}

void ColumnWriter::put(const std::string& path, ColumnType column_type, const void* data, std::uint64_t rows,
                       std::uint64_t width, bool chunked) const {
  const hid_t type = hdf5_type(column_type);
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

}  // namespace polyhead
