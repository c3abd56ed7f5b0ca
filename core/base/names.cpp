// Percent-encodes characters that a file name cannot contain.
#include "core/base/names.h"

#include <fmt/format.h>

#include <cctype>
#include <utility>

#include "core/base/hash.h"
#include "core/base/utf8.h"

namespace polyhead {
namespace {

// File systems allow names of 255 bytes, including extensions and the suffixes of temporary files.
constexpr std::size_t kMost = 190, kKept = 170;

bool is_hex(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

std::string file_stem(std::string_view name) {
  std::string stem;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool looks_encoded = c == '%' && i + 2 < name.size() && is_hex(name[i + 1]) && is_hex(name[i + 2]);
    if (c == '/' || looks_encoded || static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      stem += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      stem += c;
  }
  if (stem.size() <= kMost) return stem;
  return fmt::format("{}~{}", utf8_prefix(stem, kKept), to_hex(hash_bytes(name)));
}

std::vector<std::string> join_known_names(const std::vector<std::string>& parts,
                                          const std::vector<std::string>& known) {
  std::vector<std::string> names;
  for (std::size_t first = 0; first < parts.size();) {
    std::size_t taken = 1;
    std::string name = parts[first];
    for (const std::string& one : known)  // the longest match
      for (std::size_t last = first + taken; last < parts.size(); ++last) {
        std::string with_blank = parts[first], without = parts[first];
        for (std::size_t i = first + 1; i <= last; ++i) with_blank += ", " + parts[i], without += "," + parts[i];
        if (one != with_blank && one != without) continue;
        taken = last - first + 1;
        name = one;
      }
    names.push_back(std::move(name));
    first += taken;
  }
  return names;
}

bool is_utf8(std::string_view bytes) {
  return encode_utf8(decode_utf8(bytes)) == bytes;
}

}  // namespace polyhead
