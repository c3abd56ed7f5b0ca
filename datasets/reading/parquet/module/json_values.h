// Converts values of Arrow's arrays to JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <arrow/type_fwd.h>

namespace polyhead {

// Whether values of this type can be written: texts, numbers, true and false, times (as text), and lists, structs and
// dictionaries of these.
bool has_json(const arrow::DataType& type);

// Appends `text` in quotes. Bytes that are not UTF-8 are not changed; the parser rejects them.
void append_text(std::string_view text, std::string& out);

// Appends the value at index `at` of an array whose type has_json(). Throws std::out_of_range for a damaged array.
// - Numbers keep all their digits; NaN and infinity become null.
// - An integer, alone or in lists, that is the number of one of `classes` becomes its name. classes: may be null.
void append_value(const arrow::Array& array, std::int64_t at, const std::vector<std::string>* classes,
                  std::string& out);

}  // namespace polyhead
