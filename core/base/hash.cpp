// Hashes with xxHash, and converts hashes to hexadecimal digits and back.
#include "core/base/hash.h"

#include <xxhash.h>

#include <array>
#include <charconv>

#include <fmt/format.h>

#include "core/base/error.h"

namespace polyhead {

std::uint64_t hash_bytes(const void* data, std::size_t bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(data, bytes, seed);
}

std::uint64_t roll_ids(std::uint64_t before, std::uint64_t step_sum) {
  const std::array<std::uint64_t, 2> both = {before, step_sum};
  return hash_bytes(both.data(), sizeof both);
}

std::string to_hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::uint64_t from_hex(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 16 || error != std::errc() || end != digits.data() + digits.size())
    throw Error(Exit::data, fmt::format("'{}' is not a hash: expected 16 hexadecimal digits", digits));
  return value;
}

}  // namespace polyhead
