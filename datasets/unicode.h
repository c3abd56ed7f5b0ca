// Unicode as import and the tokenizers need it: forms, white space, and what may be shown on a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace polyhead {

// Normal forms C and KC of a text; one that is not UTF-8 is returned as it is.
std::string to_nfc(std::string_view text);
std::string to_nfkc(std::string_view text);

// Without white space, byte order marks and other characters without a look of their own at both ends.
std::string_view stripped(std::string_view text);

// Equal for texts that a person takes for the same: form KC, lower case, without invisible characters, white space as
// single spaces and none at the ends.
std::string look_of(std::string_view text);

// For messages: control characters and bytes that are not UTF-8 as \x1b.
std::string escape_controls(std::string_view text);
// As escape_controls(), in quotes, and with white space other than ' ', invisible characters and accents of their own
// as \u00a0, so that look-alikes can be told apart.
std::string spelled(std::string_view text);

}  // namespace polyhead
