// Writes a shard as in docs/format.md, including checksums.
#include "datasets/shard_writer.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "datasets/column_writer.h"
#include "datasets/hdf5.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using hdf5::Handle;
using hdf5::Session;

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

  const ColumnWriter out(file, storage);
  out.group("input");
  out.group("integrity");
  if (c.feature_width > 0) {
    out.dataset("input/features", c.features, c.feature_width);
    out.dataset("input/offsets", c.input.offsets);
  } else {
    out.ragged_tokens("input", c.input, c.vocab_size);
  }
  if (!c.second.empty()) out.dataset("input/second", c.second);
  if (!c.weight.empty()) out.dataset("input/weight", c.weight);
  if (c.input_text) out.texts("input", *c.input_text);
  const Target& kind = target_of(c.kind);
  if (kind.is_stored()) out.group("target");
  kind.write(c, out);
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
