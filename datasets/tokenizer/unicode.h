// Unicode functions of import and the tokenizers: normal forms, white space, and text that is safe for a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace polyhead {

// Return the normal forms C and KC of a text. A text that is not UTF-8 is returned unchanged.
std::string to_nfc(std::string_view text);
std::string to_nfkc(std::string_view text);

// Removes white space, byte order marks and other invisible characters at both ends.
std::string_view stripped(std::string_view text);

// Returns the same text for texts that look the same: form KC, lower case, without invisible characters, with single
// spaces as white space and none at the ends.
std::string look_of(std::string_view text);

// For messages: writes control characters and bytes that are not UTF-8 as \x1b.
std::string escape_controls(std::string_view text);
// The same as escape_controls(), in quotes, with white space other than ' ', invisible characters and combining accents
// written as \u00a0, so that look-alikes can be distinguished.
std::string spelled(std::string_view text);

}  // namespace polyhead
