// Text as code points, the unit of the translation metrics.
#pragma once

#include <string>
#include <string_view>

namespace polyhead {

// Code points of UTF-8. Each maximal run that starts a character without completing it, and each other invalid byte,
// becomes U+FFFD, as the Unicode Standard recommends (chapter 3.9) and Python's errors="replace" does.
std::u32string decode_utf8(std::string_view text);
// The reverse; surrogates and values above U+10FFFF become U+FFFD.
std::string encode_utf8(std::u32string_view text);

// White space as Python's str.split and str.rstrip see it: Unicode's White_Space, and the separators U+001C to U+001F.
bool is_space(char32_t c);

}  // namespace polyhead
