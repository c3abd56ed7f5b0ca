// Hashes (xxh3-64) of bytes and names, and of the samples of a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace polyhead {

std::uint64_t hash_bytes(const void* data, std::size_t bytes, std::uint64_t seed = 0);
inline std::uint64_t hash_bytes(std::string_view text, std::uint64_t seed = 0) {
  return hash_bytes(text.data(), text.size(), seed);
}

// One sample's contribution to ids_hash: xxh3-64 of the task's name, seeded with the stream position. The contributions
// of a step are added mod 2^64.
inline std::uint64_t hash_id(std::string_view task, std::uint64_t position) {
  return hash_bytes(task, position);
}

// Returns ids_hash after a step: xxh3-64 over 16 bytes (the previous ids_hash, then the step's sum), little endian.
std::uint64_t roll_ids(std::uint64_t before, std::uint64_t step_sum);

// Returns 16 hexadecimal digits.
std::string to_hex(std::uint64_t value);
// The inverse of to_hex(). Throws Error(data) for anything else.
std::uint64_t from_hex(std::string_view digits);

}  // namespace polyhead
