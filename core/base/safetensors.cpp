// Reads and writes the safetensors container. The reader does not trust any field of the header.
#include "core/base/safetensors.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/strict_json.h"

namespace polyhead {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // bytes; the limit of the public implementation
// A header is an object of objects. Their lists are shapes and pairs of offsets.
constexpr JsonLimits kLimits = {.depth = 3, .list = 64, .nested = 64, .object = 300'000};

// Returns the bytes per element; 0 for an unknown type.
std::uint64_t element_bytes(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "U8" || dtype == "I8" || dtype == "BOOL" || dtype == "F8_E4M3" || dtype == "F8_E5M2") return 1;
  return 0;
}

// Computes the bytes of a tensor; false if the shape is negative or too large.
bool tensor_bytes(std::string_view dtype, const std::vector<std::int64_t>& shape, std::uint64_t& bytes) {
  bytes = element_bytes(dtype);
  for (const std::int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) return false;
  return true;
}

template <class... Values>
[[noreturn]] void fail(fmt::format_string<Values...> what, Values&&... values) {
  throw std::invalid_argument(fmt::format(what, std::forward<Values>(values)...));
}

json parse_header(std::string_view text) {
  try {
    return parse_strictly(text, kLimits);
  } catch (const std::invalid_argument& error) {
    fail("its header is not a JSON object of tensors: {}", error.what());
  }
}

bool naturals(const json& list) {
  return list.is_array() && std::all_of(list.begin(), list.end(), [](const json& v) { return v.is_number_unsigned(); });
}

}  // namespace

std::uint64_t write_safetensors(const std::filesystem::path& file, const std::map<std::string, StoredTensor>& tensors,
                                const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    std::uint64_t bytes = 0;
    if (element_bytes(tensor.dtype) == 0 || !tensor_bytes(tensor.dtype, tensor.shape, bytes) ||
        bytes != tensor.data.size())
      throw Error(Exit::internal, fmt::format("{}: tensor '{}' of type {} has {} bytes, which its shape does not give",
                                              file.string(), name, tensor.dtype, tensor.data.size()));
    header[name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>((text.size() >> (8 * i)) & 255);

  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  AtomicFile out(file);
  const auto put = [&](std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
    out.write(bytes);
  };
  put(std::as_bytes(std::span(length)));
  put(std::as_bytes(std::span(text)));
  for (const auto& [name, tensor] : tensors) put(tensor.data);
  out.commit();
  return XXH3_64bits_digest(state.get());
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : SafetensorsFile(RegularFile(file)) {}

SafetensorsFile::SafetensorsFile(const RegularFile& file) {
  try {
    if (file.size() < 8) fail("it has {} bytes, less than the length of a header", file.size());
    const std::string prefix = file.read(8);
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < 8; ++i)
      length |= static_cast<std::uint64_t>(static_cast<unsigned char>(prefix[i])) << (8 * i);
    if (length > kMaxHeader || length > file.size() - 8)
      fail("its header claims {} bytes, the file has {}", length, file.size());
    const std::string head = file.read(8 + length);
    const auto places = read_header(std::string_view(head).substr(8), file.size() - 8 - length);
    bytes_ = file.read();
    const std::span<const std::byte> data = std::as_bytes(std::span(bytes_)).subspan(8 + length);
    for (const auto& [name, place] : places)
      tensors_.at(name).data = data.subspan(place.first, place.last - place.first);
  } catch (const std::invalid_argument& error) {
    throw Error(Exit::data, fmt::format("{} is not a valid safetensors file: {}. It may be truncated or damaged: use "
                                        "another file, or an older checkpoint",
                                        file.path().string(), error.what()));
  }
  hash_ = hash_bytes(bytes_);
}

std::map<std::string, SafetensorsFile::Place> SafetensorsFile::read_header(std::string_view text,
                                                                           std::uint64_t data_bytes) {
  if (!text.starts_with('{')) fail("its header is not a JSON object");
  const json header = parse_header(text);
  std::map<std::string, Place> places;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail("__metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail("__metadata__ '{}' is not a string", key);
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
        !naturals(entry["shape"]) || !entry.contains("data_offsets") || !naturals(entry["data_offsets"]) ||
        entry["data_offsets"].size() != 2)
      fail("tensor '{}' lacks a dtype, a shape or two data_offsets", name);
    StoredTensor tensor;
    tensor.dtype = entry["dtype"].get<std::string>();
    tensor.shape = entry["shape"].get<std::vector<std::int64_t>>();
    const auto first = entry["data_offsets"][0].get<std::uint64_t>(),
               last = entry["data_offsets"][1].get<std::uint64_t>();
    std::uint64_t bytes = 0;
    if (element_bytes(tensor.dtype) == 0) fail("tensor '{}' has the unknown type '{}'", name, tensor.dtype);
    if (first > last || last > data_bytes)
      fail("tensor '{}' is at bytes {} to {} of {} bytes of data", name, first, last, data_bytes);
    if (!tensor_bytes(tensor.dtype, tensor.shape, bytes) || bytes != last - first)
      fail("tensor '{}' has {} bytes, which its shape does not give", name, last - first);
    ranges.emplace_back(first, last);
    places[name] = {first, last};
    tensors_.emplace(name, std::move(tensor));
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t end = 0;
  for (const auto& [first, last] : ranges) {
    if (first != end) fail("its tensors {} at byte {} of the data", first < end ? "overlap" : "leave a hole", first);
    end = last;
  }
  if (end != data_bytes) fail("its tensors end at byte {} of {} bytes of data", end, data_bytes);
  return places;
}

std::uint64_t SafetensorsFile::values_hash() const {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  for (const auto& [name, tensor] : tensors_) XXH3_64bits_update(state.get(), tensor.data.data(), tensor.data.size());
  return XXH3_64bits_digest(state.get());
}

}  // namespace polyhead
