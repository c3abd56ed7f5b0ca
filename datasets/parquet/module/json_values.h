// Values of Arrow's arrays as JSON.
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

// Appends `text` in quotes. Bytes that are not UTF-8 stay as they are, for the parser to refuse.
void append_text(std::string_view text, std::string& out);

// Appends the value `at` of an array whose type has_json. Numbers keep all their digits; what no JSON number can be
// (not a number, infinite) is null. An integer, alone or in lists, that numbers one of `classes` becomes its name;
// `classes` may be null. Throws std::out_of_range for an array that is damaged.
void append_value(const arrow::Array& array, std::int64_t at, const std::vector<std::string>* classes,
                  std::string& out);

}  // namespace polyhead
