// Implements the functions with utf8proc.
#include "datasets/tokenizer/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include <fmt/format.h>

namespace polyhead {
namespace {

using Code = utf8proc_int32_t;

struct Character {
  Code code = 0;  // -1: a byte that is not UTF-8
  std::size_t bytes = 1;
};

Character first_of(std::string_view text) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  if (*at < 0x80) return {static_cast<Code>(*at), 1};
  Code code = 0;
  const auto used = utf8proc_iterate(at, static_cast<utf8proc_ssize_t>(text.size()), &code);
  if (used <= 0) return {-1, 1};
  return {code, static_cast<std::size_t>(used)};
}

bool is_space(Code c) {
  if (c >= 9 && c <= 13) return true;
  const auto category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

bool is_invisible(Code c) {
  const auto category = utf8proc_category(c);
  return is_space(c) || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF;
}

std::string mapped(std::string_view text, int options) {
  utf8proc_uint8_t* out = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(out, &std::free);
  if (size < 0) return std::string(text);
  return {reinterpret_cast<const char*>(out), static_cast<std::size_t>(size)};
}

bool is_ascii(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

template <class Hidden>
std::string escaped(std::string_view text, const Hidden& hidden) {
  std::string out;
  while (!text.empty()) {
    const auto [code, bytes] = first_of(text);
    if (code < 0 || code < 0x20 || code == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    else if ((code >= 0x80 && code < 0xa0) || hidden(code))
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(code));
    else
      out += text.substr(0, bytes);
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace

std::string to_nfc(std::string_view text) {
  return is_ascii(text) ? std::string(text) : mapped(text, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
}

std::string to_nfkc(std::string_view text) {
  return is_ascii(text) ? std::string(text) : mapped(text, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
}

std::string_view stripped(std::string_view text) {
  while (!text.empty()) {
    const auto [code, bytes] = first_of(text);
    if (code < 0 || !is_invisible(code)) break;
    text.remove_prefix(bytes);
  }
  while (!text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) --last;
    const auto [code, bytes] = first_of(text.substr(last));
    if (code < 0 || bytes != text.size() - last || !is_invisible(code)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string look_of(std::string_view text) {
  const std::string folded =
      mapped(text, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
  std::string out;
  bool space = false;
  for (std::string_view rest = folded; !rest.empty();) {
    const auto [code, bytes] = first_of(rest);
    if (code >= 0 && is_invisible(code)) {
      space = space || is_space(code);
    } else {
      if (space && !out.empty()) out += ' ';
      space = false;
      out += rest.substr(0, bytes);
    }
    rest.remove_prefix(bytes);
  }
  return out;
}

std::string escape_controls(std::string_view text) {
  return escaped(text, [](Code) { return false; });
}

std::string spelled(std::string_view text) {
  const auto hidden = [](Code c) {
    return (c != ' ' && is_invisible(c)) || utf8proc_category(c) == UTF8PROC_CATEGORY_MN;
  };
  return fmt::format("'{}'", escaped(text, hidden));
}

}  // namespace polyhead
