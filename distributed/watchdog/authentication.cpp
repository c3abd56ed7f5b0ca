// Uses OpenSSL's libcrypto.
#include "distributed/watchdog/authentication.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <vector>

#include "core/base/error.h"

namespace polyhead {

std::string random_digits(std::size_t bytes) {
  std::vector<unsigned char> random(bytes);
  if (RAND_bytes(random.data(), static_cast<int>(bytes)) != 1)
    throw Error(Exit::internal, "OpenSSL cannot provide random bytes here");
  return fmt::format("{:02x}", fmt::join(random, ""));
}

std::string keyed_hash(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
           text.size(), digest.data(), &size) == nullptr)
    throw Error(Exit::internal, "OpenSSL does not support HMAC with SHA-256 here");
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
}

bool equal_proofs(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string LineSeal::digits_of(std::string_view text) {
  std::string counted = std::to_string(count_++) + " ";
  return keyed_hash(key_, counted.append(text)).substr(0, kDigits);
}

std::string LineSeal::seal(std::string_view text) {
  return digits_of(text).append(" ").append(text);
}

bool LineSeal::open(std::string& line) {
  if (line.size() < kDigits + 1 || line[kDigits] != ' ') return false;
  std::string text = line.substr(kDigits + 1);
  if (!equal_proofs(std::string_view(line).substr(0, kDigits), digits_of(text))) return false;
  line = std::move(text);
  return true;
}

}  // namespace polyhead
