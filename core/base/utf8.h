// UTF-8 and its code points (characters of Unicode).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace polyhead {

// Decodes UTF-8. Each maximal run of bytes that starts a character without completing it, and each other invalid byte,
// becomes U+FFFD, as recommended by the Unicode Standard (chapter 3.9) and done by Python's errors="replace".
std::u32string decode_utf8(std::string_view text);
// Encodes UTF-8. Surrogates and values above U+10FFFF become U+FFFD.
std::string encode_utf8(std::u32string_view text);

// Returns the longest beginning of a text that has at most `bytes` bytes and does not end inside a character.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes);

// White space as in Python's str.split and str.rstrip: Unicode's White_Space, and the separators U+001C to U+001F.
bool is_space(char32_t c);

}  // namespace polyhead
