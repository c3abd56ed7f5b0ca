// Proofs of a shared secret that never travels: HMAC-SHA256 (FIPS 198-1), for the watchdog's side channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace polyhead {

// `bytes` random bytes of the system as hexadecimal digits. Throws Error(internal) where it has none.
std::string random_digits(std::size_t bytes);

// HMAC-SHA256 of the text, as 64 hexadecimal digits.
std::string keyed_hash(std::string_view key, std::string_view text);

// Takes the same time wherever the texts differ.
bool equal_proofs(std::string_view a, std::string_view b);

// One direction of a connection: seals lines with a keyed hash of a count and the text, and opens them. A line that was
// changed, repeated, left out or made by a stranger does not open.
class LineSeal {
 public:
  LineSeal() = default;
  explicit LineSeal(std::string key) : key_(std::move(key)) {}

  static constexpr std::size_t kDigits = 32;

  // "DIGITS text"
  std::string seal(std::string_view text);
  // false: it is not the next line of this direction. Else `line` becomes the text.
  bool open(std::string& line);

 private:
  std::string digits_of(std::string_view text);

  std::string key_;
  std::uint64_t count_ = 0;
};

}  // namespace polyhead
