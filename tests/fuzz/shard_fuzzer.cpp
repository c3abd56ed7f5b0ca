// libFuzzer target for the check of a shard and for reading it as training does. Byte 0 of an input is the kind (modulo
// the number of kinds), in bit 6 whether to map or to pread, and in bit 7 what follows byte 1, the manifest's number of
// samples: a file as it is, or a recipe by which HDF5 itself writes one, so that odd types, extents, layouts and values
// come behind a file structure that is right.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "datasets/dataset.h"
#include "datasets/hdf5.h"
#include "datasets/target.h"
#include "datasets/verify.h"
#include "tests/fuzz/fuzz.h"

using namespace polyhead;

// A file may declare gigabytes: that is a refusal like any other, and libFuzzer would take it for a fault.
void* operator new(std::size_t size) {
  if (size > 256U << 20) throw std::bad_alloc();
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

// Memory from libraries is made by AddressSanitizer's own operator new.
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0:alloc_dealloc_mismatch=0:allocator_may_return_null=1:handle_abort=1";
}

namespace {

// --- a recipe: the bytes say what HDF5 writes
// ----------------------------------------------------------------------------------------------

void write_attributes(hid_t file, Kind kind, std::uint8_t samples, FuzzInput& in) {
  const auto text = [&](const char* name, std::string value) {
    const std::uint8_t odd = in.byte();
    if (odd == 255) return;
    const hid_t type = H5Tcopy(H5T_C_S1), space = odd == 254 ? H5Screate(H5S_NULL) : H5Screate(H5S_SCALAR);
    H5Tset_size(type, odd == 253 ? H5T_VARIABLE : odd == 252 ? value.size() + 300 : value.size());
    if (odd == 251) H5Tset_strpad(type, H5T_STR_SPACEPAD);
    const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    value.resize(value.size() + 300);
    const char* pointer = value.c_str();
    H5Awrite(attribute, type, odd == 253 ? static_cast<const void*>(&pointer) : pointer);
    H5Aclose(attribute), H5Sclose(space), H5Tclose(type);
  };
  const auto number = [&](const char* name, std::int64_t value) {
    const std::uint8_t odd = in.byte();
    if (odd == 255) return;
    if (odd == 254) value = static_cast<std::int64_t>(in.number());
    const std::array<hid_t, 4> types = {H5T_STD_I64LE, H5T_STD_U16BE, H5T_STD_U64LE, H5T_IEEE_F32LE};
    const hid_t space = odd == 253 ? H5Screate(H5S_NULL) : H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(file, name, types[odd % 4], space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT64, &value);
    H5Aclose(attribute), H5Sclose(space);
  };
  text("format", "polyhead-shard");
  text("task", "t");
  text("kind", std::string(name_of(kind)));
  text("split", "train");
  number("version", 1);
  number("samples", samples);
}

void write_dataset(hid_t file, const char* path, std::size_t usual_type, FuzzInput& in) {
  const std::uint8_t odd = in.byte();
  if (odd == 255) return;
  if (odd == 254) {
    H5Lcreate_soft("/elsewhere", file, path, H5P_DEFAULT, H5P_DEFAULT);
    return;
  }
  if (odd == 253) {
    H5Lcreate_external("other.h5", "/x", file, path, H5P_DEFAULT, H5P_DEFAULT);
    return;
  }
  const std::array<hid_t, 11> types = {H5T_STD_U8LE,   H5T_STD_U16LE, H5T_STD_U32LE,  H5T_STD_U64LE,
                                       H5T_IEEE_F32LE, H5T_STD_U16BE, H5T_STD_U64BE,  H5T_IEEE_F64LE,
                                       H5T_STD_I32LE,  H5T_STD_B16LE, H5T_STD_REF_OBJ};
  const hid_t type = types[odd >= 240 ? odd % types.size() : usual_type];
  const std::size_t element = H5Tget_size(type);
  const std::uint8_t form = in.byte();  // bits 0-1: rank, 2-3: layout, 4-6: filters, 7: huge
  const int rank = (form & 3) == 3 ? 0 : (form & 3) == 2 ? 3 : 1 + (form & 1);
  std::array<hsize_t, 3> extent = {in.byte() % 40ULL, 1 + in.byte() % 4ULL, 1}, chunk = {4, 1, 1};
  if ((form & 0x80) != 0) extent[0] = in.number();
  const hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, extent.data(), nullptr);
  const hid_t create = H5Pcreate(H5P_DATASET_CREATE);
  switch ((form >> 2) & 3) {
    case 1:
      H5Pset_chunk(create, std::max(rank, 1), chunk.data());
      if ((form & 0x10) != 0) H5Pset_shuffle(create);
      if ((form & 0x20) != 0) H5Pset_deflate(create, 1);
      if ((form & 0x40) != 0) (form & 3) == 0 ? H5Pset_fletcher32(create) : H5Pset_nbit(create);
      break;
    case 2:
      H5Pset_layout(create, H5D_COMPACT);
      break;
    default:
      H5Pset_layout(create, H5D_CONTIGUOUS);
  }
  const hid_t set = H5Dcreate2(file, path, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
  const auto elements = static_cast<std::size_t>(std::max<hssize_t>(H5Sget_simple_extent_npoints(space), 0));
  if (set >= 0 && elements <= 1000) {
    std::vector<std::uint8_t> bytes(elements * element + 8);
    // Small numbers, in offsets a running sum, are mostly right; a byte of 255 begins any number.
    std::uint64_t sum = 0;
    const bool offsets = std::strstr(path, "offsets") != nullptr;
    for (std::size_t i = 0; i < elements; ++i) {
      const std::uint8_t small = offsets && i == 0 ? 0 : in.byte();
      std::uint64_t value = offsets ? sum += small % 8U : small % 12U;
      if (small == 255) value = in.number();
      if (usual_type == 4) {
        const auto real = static_cast<float>(value);
        std::memcpy(&value, &real, sizeof real);
        if (small == 254) value = 0x7fc00000;
      }
      std::memcpy(bytes.data() + i * element, &value, element);
    }
    H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
  }
  if (set >= 0) H5Dclose(set);
  H5Pclose(create), H5Sclose(space);
}

void cook(const std::string& path, Kind kind, std::uint8_t samples, FuzzInput& in) {
  const hdf5::Session session;
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  const std::uint8_t options = in.byte();
  if ((options & 1) != 0) H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V110);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  if (file < 0) broken("HDF5 cannot write here");
  write_attributes(file, kind, samples, in);
  for (const char* group : {"input", "target", "integrity"})
    H5Gclose(H5Gcreate2(file, group, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  struct Usual {
    const char* path;
    std::size_t type;
    bool there;
  };
  const bool pair = (options & 2) != 0, text = (options & 4) != 0, sums = (options & 8) != 0;
  const std::array<Usual, 17> usual = {{{"input/tokens", 1, (options & 16) == 0},
                                        {"input/features", 4, (options & 16) != 0},
                                        {"input/offsets", 3, true},
                                        {"input/second", 2, pair},
                                        {"input/text", 0, text},
                                        {"input/text_offsets", 3, text},
                                        {"target/label", 2, kind == Kind::classification},
                                        {"target/labels", 0, kind == Kind::multilabel},
                                        {"target/value", 4, kind == Kind::regression},
                                        {"target/tags", 1, kind == Kind::tagging},
                                        {"target/tokens", 1, kind == Kind::translation},
                                        {"target/offsets", 3, kind == Kind::translation},
                                        {"target/span", 2, kind == Kind::span},
                                        {"target/characters", 2, kind == Kind::span && text},
                                        {"target/text", 0, text},
                                        {"target/text_offsets", 3, text},
                                        {"integrity/input.tokens", 3, sums}}};
  for (const auto& [name, type, there] : usual)
    if (there) write_dataset(file, name, type, in);
  H5Fclose(file);
  H5Pclose(access);
}

// --- what a shard that passed must keep
// ----------------------------------------------------------------------------------------------------

void read_everything(const std::string& path, const ShardExpectation& expected, Access access) {
  Manifest manifest;
  manifest.tokenizer.vocab_size = static_cast<std::int64_t>(expected.vocab_size);
  TaskInfo task;
  task.name = expected.task;
  task.kind = expected.kind;
  if (target_of(task.kind).labels() != nullptr)
    for (std::uint64_t i = 0; i < expected.classes; ++i) task.labels.push_back(std::to_string(i));
  if (expected.outputs > 1)
    for (std::uint64_t i = 0; i < expected.outputs; ++i) task.outputs.push_back(std::to_string(i));
  ShardInfo info = expected.info;
  info.file = path;
  task.splits[expected.split].samples = info.samples;
  task.splits[expected.split].shards = {info};
  const SplitReader reader("/", manifest, task, expected.split,
                           {.access = access, .verify = Verify::blocks, .pool = std::make_shared<FilePool>(1)});
  if (reader.size() != info.samples) broken("another number of samples");
  for (std::uint64_t i = 0; i < reader.size(); ++i) {
    const StoredSample sample = reader.sample(i);
    std::vector<std::int64_t> ids, tags, labels;
    std::vector<double> values;
    std::vector<float> features;
    const std::uint64_t width = reader.feature_width(), length = sample.input_length();
    width > 0 ? sample.features(features) : sample.input_tokens(ids);
    if (length == 0 || (width > 0 ? features.size() != length * width : ids.size() != length)) broken("another length");
    for (const float value : features)
      if (!(value - value == 0)) broken("a feature that is not finite");
    if (sample.second() >= length) broken("a second text behind the end");
    sample.tags(tags);
    if (expected.kind == Kind::tagging && tags.size() != length) broken("tags and tokens differ in number");
    for (const std::int64_t tag : tags)
      if (tag >= static_cast<std::int64_t>(expected.classes)) broken("a tag out of range");
    const std::size_t input = ids.size();
    sample.target_tokens(ids);
    if (expected.kind == Kind::translation && ids.size() == input) broken("an empty target");
    for (const std::int64_t id : ids)
      if (id < 0 || id >= static_cast<std::int64_t>(expected.vocab_size)) broken("an id out of range");
    if (expected.kind == Kind::classification &&
        (sample.label() < 0 || sample.label() >= static_cast<std::int64_t>(expected.classes)))
      broken("a label out of range");
    sample.labels(labels);
    for (const std::int64_t label : labels)
      if (label != 0 && label != 1) broken("a label that is neither 0 nor 1");
    sample.values(values);
    if (labels.size() != (expected.kind == Kind::multilabel ? expected.classes : 0)) broken("a number of labels");
    if (values.size() != (expected.kind == Kind::regression ? expected.outputs : 0)) broken("a number of values");
    for (const double value : values)
      if (!(value - value == 0)) broken("a value that is not finite");
    if (expected.kind == Kind::span) {
      const auto [first, last] = sample.span();
      if (last < first || last >= length || (first > 0 && first < sample.second()))
        broken("an answer outside of its text");
      static_cast<void>(sample.text_of(first, last));
    }
    static_cast<void>(sample.input_text());
    static_cast<void>(sample.target_text());
  }
}

// HDF5's checksums of its own metadata, which would else stop nearly every mutation at the door.
extern "C" std::uint32_t H5_checksum_metadata(const void* data, std::size_t size, std::uint32_t seed);

void correct_checksums(std::uint8_t* file, std::size_t size) {
  const auto correct = [&](std::size_t from, std::size_t to) {
    if (to <= from || to > size || size - to < 4) return;
    const std::uint32_t sum = H5_checksum_metadata(file + from, to - from, 0);
    std::memcpy(file + to, &sum, sizeof sum);
  };
  constexpr std::size_t kSuperblock = 44;
  if (size > kSuperblock + 4 && file[8] >= 2 && file[9] == 8 && file[10] == 8) correct(0, kSuperblock);
  for (std::size_t at = 0; at + 24 < size; ++at) {
    if (std::memcmp(file + at, "OHDR", 4) != 0) continue;
    const std::uint8_t flags = file[at + 5];
    const std::size_t width = 1U << (flags & 3);
    std::size_t begin = at + 6 + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
    std::uint64_t length = 0;
    if (begin + width >= size) continue;
    std::memcpy(&length, file + begin, width);
    begin += width;
    if (length < size - begin) correct(at, begin + length);
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size > 2 && (data[0] & 0x80) == 0 && seed % 4 != 0) correct_checksums(data + 2, size - 2);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path = fuzz_folder() / "shard.h5";
  if (size < 2) return 0;
  FuzzInput in(data, size);
  const std::uint8_t first = in.byte();
  ShardExpectation expected;
  expected.task = "t";
  expected.split = "train";
  expected.kind = static_cast<Kind>((first & 0x3f) % kKindNames.size());
  expected.vocab_size = 10;
  expected.classes = 3;
  expected.outputs = expected.kind == Kind::regression ? 2 : 1;
  expected.info.samples = in.byte();
  if ((first & 0x80) != 0) {
    cook(path, expected.kind, static_cast<std::uint8_t>(expected.info.samples), in);
  } else {
    write_input(path, data + 2, size - 2);
  }
  // As `polyhead verify` reads it, then as training does, which checks what it touches.
  bool whole = false;
  const auto refused = [](const std::function<void()>& read) {
    try {
      read();
      return false;
    } catch (const Error& error) {
      if (error.code() != Exit::data || std::strlen(error.what()) > 4000) broken(error.what());
    } catch (const std::bad_alloc&) {
    }
    return true;
  };
  whole = !refused([&] { verify_shard(path, expected, TokenizerInfo{}); });
  if (expected.info.samples == 0) return 0;  // a train split of none is refused by itself
  const Access access = (first & 0x40) != 0 ? Access::pread : Access::map;
  if (refused([&] { read_everything(path, expected, access); }) && whole) broken("what training then refuses");
  return 0;
}
