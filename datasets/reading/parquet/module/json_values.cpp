// Writes values with one switch over Arrow's types.
#include "datasets/reading/parquet/module/json_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include <arrow/array.h>
#include <arrow/extension_type.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <arrow/util/float16.h>

namespace polyhead {
namespace {

using arrow::Type;
using Classes = const std::vector<std::string>*;

template <class Number>
void append_digits(Number number, std::string& out) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

// Returns the shortest digits that give the same number again; 1.0 stays different from the integer 1.
void append_float(double number, std::string& out) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  const std::size_t from = out.size();
  append_digits(number, out);
  if (out.find_first_of(".e", from) == std::string::npos) out += ".0";
}

template <class ArrayType>
void append_integer(const arrow::Array& array, std::int64_t at, Classes classes, std::string& out) {
  const auto number = static_cast<const ArrayType&>(array).Value(at);
  const bool named = classes != nullptr && std::cmp_greater_equal(number, 0) && std::cmp_less(number, classes->size());
  if (named)
    append_text((*classes)[static_cast<std::size_t>(number)], out);
  else
    append_digits(number, out);
}

void append_elements(const arrow::Array& values, std::int64_t from, std::int64_t length, Classes classes,
                     std::string& out) {
  if (from < 0 || length < 0 || length > values.length() - from) throw std::out_of_range("a list leaves its column");
  out += '[';
  for (std::int64_t i = 0; i < length; ++i) {
    if (i > 0) out += ',';
    append_value(values, from + i, classes, out);
  }
  out += ']';
}

template <class ListType>
void append_list(const arrow::Array& array, std::int64_t at, Classes classes, std::string& out) {
  const auto& list = static_cast<const ListType&>(array);
  append_elements(*list.values(), list.value_offset(at), list.value_length(at), classes, out);
}

void append_struct(const arrow::Array& array, std::int64_t at, std::string& out) {
  const auto& of = static_cast<const arrow::StructArray&>(array);
  out += '{';
  for (int f = 0; f < of.num_fields(); ++f) {
    if (f > 0) out += ',';
    append_text(of.type()->field(f)->name(), out);
    out += ':';
    append_value(*of.field(f), at, nullptr, out);
  }
  out += '}';
}

void append_dictionary(const arrow::Array& array, std::int64_t at, Classes classes, std::string& out) {
  const auto& coded = static_cast<const arrow::DictionaryArray&>(array);
  const std::int64_t entry = coded.GetValueIndex(at);
  if (entry < 0 || entry >= coded.dictionary()->length()) throw std::out_of_range("a value leaves its dictionary");
  append_value(*coded.dictionary(), entry, classes, out);
}

template <class ArrayType>
void append_view(const arrow::Array& array, std::int64_t at, std::string& out) {
  append_text(static_cast<const ArrayType&>(array).GetView(at), out);
}

template <class ArrayType>
void append_decimal(const arrow::Array& array, std::int64_t at, std::string& out) {
  out += static_cast<const ArrayType&>(array).FormatValue(at);
}

// Dates and times.
void append_described(const arrow::Array& array, std::int64_t at, std::string& out) {
  const auto scalar = array.GetScalar(at);
  if (!scalar.ok()) throw std::out_of_range(scalar.status().message());
  append_text((*scalar)->ToString(), out);
}

}  // namespace

bool has_json(const arrow::DataType& type) {
  switch (type.id()) {
    case Type::NA:
    case Type::BOOL:
    case Type::HALF_FLOAT:
    case Type::FLOAT:
    case Type::DOUBLE:
    case Type::DECIMAL32:
    case Type::DECIMAL64:
    case Type::DECIMAL128:
    case Type::DECIMAL256:
    case Type::STRING:
    case Type::LARGE_STRING:
    case Type::STRING_VIEW:
    case Type::DATE32:
    case Type::DATE64:
    case Type::TIME32:
    case Type::TIME64:
    case Type::TIMESTAMP:
      return true;
    case Type::DICTIONARY:
      return has_json(*static_cast<const arrow::DictionaryType&>(type).value_type());
    case Type::EXTENSION:
      return has_json(*static_cast<const arrow::ExtensionType&>(type).storage_type());
    case Type::LIST:
    case Type::LARGE_LIST:
    case Type::FIXED_SIZE_LIST:
    case Type::STRUCT:
      return std::all_of(type.fields().begin(), type.fields().end(),
                         [](const auto& field) { return has_json(*field->type()); });
    default:
      return arrow::is_integer(type.id());
  }
}

void append_text(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const auto special = [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; };
    const auto end = static_cast<std::size_t>(
        std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), special) - text.begin());
    out.append(text, at, end - at);
    at = end;
    if (at == text.size()) break;
    const auto c = static_cast<unsigned char>(text[at++]);
    if (c >= 0x20)
      (out += '\\') += static_cast<char>(c);
    else
      ((out += "\\u00") += kHex[c >> 4]) += kHex[c & 15];
  }
  out += '"';
}

void append_value(const arrow::Array& array, std::int64_t at, Classes classes, std::string& out) {
  if (array.IsNull(at)) {
    out += "null";
    return;
  }
  switch (array.type_id()) {
    case Type::BOOL:
      out += static_cast<const arrow::BooleanArray&>(array).Value(at) ? "true" : "false";
      return;
    case Type::INT8:
      return append_integer<arrow::Int8Array>(array, at, classes, out);
    case Type::INT16:
      return append_integer<arrow::Int16Array>(array, at, classes, out);
    case Type::INT32:
      return append_integer<arrow::Int32Array>(array, at, classes, out);
    case Type::INT64:
      return append_integer<arrow::Int64Array>(array, at, classes, out);
    case Type::UINT8:
      return append_integer<arrow::UInt8Array>(array, at, classes, out);
    case Type::UINT16:
      return append_integer<arrow::UInt16Array>(array, at, classes, out);
    case Type::UINT32:
      return append_integer<arrow::UInt32Array>(array, at, classes, out);
    case Type::UINT64:
      return append_integer<arrow::UInt64Array>(array, at, classes, out);
    case Type::HALF_FLOAT:
      return append_float(
          arrow::util::Float16::FromBits(static_cast<const arrow::HalfFloatArray&>(array).Value(at)).ToDouble(), out);
    case Type::FLOAT:
      return append_float(static_cast<double>(static_cast<const arrow::FloatArray&>(array).Value(at)), out);
    case Type::DOUBLE:
      return append_float(static_cast<const arrow::DoubleArray&>(array).Value(at), out);
    case Type::DECIMAL32:
      return append_decimal<arrow::Decimal32Array>(array, at, out);
    case Type::DECIMAL64:
      return append_decimal<arrow::Decimal64Array>(array, at, out);
    case Type::DECIMAL128:
      return append_decimal<arrow::Decimal128Array>(array, at, out);
    case Type::DECIMAL256:
      return append_decimal<arrow::Decimal256Array>(array, at, out);
    case Type::STRING:
      return append_view<arrow::StringArray>(array, at, out);
    case Type::LARGE_STRING:
      return append_view<arrow::LargeStringArray>(array, at, out);
    case Type::STRING_VIEW:
      return append_view<arrow::StringViewArray>(array, at, out);
    case Type::LIST:
      return append_list<arrow::ListArray>(array, at, classes, out);
    case Type::LARGE_LIST:
      return append_list<arrow::LargeListArray>(array, at, classes, out);
    case Type::FIXED_SIZE_LIST:
      return append_list<arrow::FixedSizeListArray>(array, at, classes, out);
    case Type::STRUCT:
      return append_struct(array, at, out);
    case Type::DICTIONARY:
      return append_dictionary(array, at, classes, out);
    case Type::EXTENSION:
      return append_value(*static_cast<const arrow::ExtensionArray&>(array).storage(), at, classes, out);
    default:
      return append_described(array, at, out);
  }
}

}  // namespace polyhead
