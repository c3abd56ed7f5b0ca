// Reads and writes the safetensors container; the reader trusts no field of the header.
#include "core/base/safetensors.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the public implementation's own limit, bytes

// Bytes of an element; 0: unknown.
std::uint64_t element_bytes(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "U8" || dtype == "I8" || dtype == "BOOL" || dtype == "F8_E4M3" || dtype == "F8_E5M2") return 1;
  return 0;
}

// Bytes of a tensor, nothing where the shape is negative or overflows.
bool tensor_bytes(std::string_view dtype, const std::vector<std::int64_t>& shape, std::uint64_t& bytes) {
  bytes = element_bytes(dtype);
  for (const std::int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) return false;
  return true;
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

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) {
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::data,
                fmt::format("{} is not a valid safetensors file: {}. It may be truncated or damaged: take another "
                            "copy, or an older checkpoint.",
                            file.string(), what));
  };
  bytes_ = read_file(file);
  hash_ = hash_bytes(bytes_);
  if (bytes_.size() < 8) fail(fmt::format("it has {} bytes, less than the length of a header", bytes_.size()));
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i)
    length |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes_[i])) << (8 * i);
  if (length > kMaxHeader || length > bytes_.size() - 8)
    fail(fmt::format("its header claims {} bytes, the file has {}", length, bytes_.size()));
  const char* begin = bytes_.data() + 8;
  const json header = json::parse(begin, begin + length, nullptr, false);
  if (!header.is_object() || *begin != '{') fail("its header is not a JSON object");
  const std::span<const std::byte> data = std::as_bytes(std::span(bytes_)).subspan(8 + length);

  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail("__metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) fail(fmt::format("__metadata__ '{}' is not a string", key));
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    const auto naturals = [](const json& list) {
      return list.is_array() &&
             std::all_of(list.begin(), list.end(), [](const json& v) { return v.is_number_unsigned(); });
    };
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
        !naturals(entry["shape"]) || !entry.contains("data_offsets") || !naturals(entry["data_offsets"]) ||
        entry["data_offsets"].size() != 2)
      fail(fmt::format("tensor '{}' lacks a dtype, a shape or two data_offsets", name));
    StoredTensor tensor;
    tensor.dtype = entry["dtype"].get<std::string>();
    tensor.shape = entry["shape"].get<std::vector<std::int64_t>>();
    const auto first = entry["data_offsets"][0].get<std::uint64_t>(),
               last = entry["data_offsets"][1].get<std::uint64_t>();
    std::uint64_t bytes = 0;
    if (element_bytes(tensor.dtype) == 0)
      fail(fmt::format("tensor '{}' has the unknown type '{}'", name, tensor.dtype));
    if (first > last || last > data.size())
      fail(fmt::format("tensor '{}' lies at {} to {} of {} bytes of data", name, first, last, data.size()));
    if (!tensor_bytes(tensor.dtype, tensor.shape, bytes) || bytes != last - first)
      fail(fmt::format("tensor '{}' has {} bytes, which its shape does not give", name, last - first));
    tensor.data = data.subspan(first, bytes);
    ranges.emplace_back(first, last);
    tensors_.emplace(name, std::move(tensor));
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t end = 0;
  for (const auto& [first, last] : ranges) {
    if (first != end)
      fail(fmt::format("its tensors {} at byte {} of the data", first < end ? "overlap" : "leave a hole", first));
    end = last;
  }
  if (end != data.size()) fail(fmt::format("its tensors end at byte {} of {} bytes of data", end, data.size()));
}

}  // namespace polyhead
