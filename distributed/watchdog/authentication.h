// Proofs that the other end knows a shared secret, which is never sent: HMAC-SHA256 (FIPS 198-1), for the watchdog's
// connections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace polyhead {

// Returns `bytes` random bytes from the system as hexadecimal digits. Throws Error(internal) if the system fails.
std::string random_digits(std::size_t bytes);

// Returns the HMAC-SHA256 of the text as 64 hexadecimal digits.
std::string keyed_hash(std::string_view key, std::string_view text);

// Compares two texts in a time that does not depend on where they differ.
bool equal_proofs(std::string_view a, std::string_view b);

// One direction of a connection. The sender seals each line with a keyed hash of its number and its text; the receiver
// checks the hash. A line that was changed, repeated, dropped or sent by somebody else is rejected.
class LineSeal {
 public:
  LineSeal() = default;
  explicit LineSeal(std::string key) : key_(std::move(key)) {}

  static constexpr std::size_t kDigits = 32;

  // "DIGITS text"
  std::string seal(std::string_view text);
  // Replaces the sealed `line` by its text. Returns false if it is not the next line of this direction.
  bool open(std::string& line);

 private:
  std::string digits_of(std::string_view text);

  std::string key_;
  std::uint64_t count_ = 0;
};

}  // namespace polyhead
