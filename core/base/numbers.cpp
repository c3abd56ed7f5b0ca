// Reads numbers independently of the locale.
#include "core/base/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace polyhead {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Returns the text without its sign, if it has one. std::from_chars accepts '-' but not '+'.
std::string_view without_sign(std::string_view text) {
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) text.remove_prefix(1);
  return text;
}

// For an unsigned number that std::from_chars reports as out of range, without saying on which side: whether its first
// digit other than 0 is before the decimal point once the exponent is applied.
bool is_large(std::string_view text) {
  const std::size_t exponent_at = std::min(text.find_first_of("eE"), text.size());
  const std::string_view digits = text.substr(0, exponent_at);
  const auto point = static_cast<std::int64_t>(std::min(digits.find('.'), digits.size()));
  const auto first = static_cast<std::int64_t>(std::min(digits.find_first_of("123456789"), digits.size()));
  std::int64_t exponent = 0;
  if (exponent_at < text.size()) {
    const std::string_view written = text.substr(exponent_at + 1), number = without_sign(written);
    constexpr std::int64_t kEnough = 1'000'000'000;
    for (const char c : number) exponent = std::min(kEnough, exponent * 10 + (c - '0'));
    if (written.starts_with('-')) exponent = -exponent;
  }
  return point - first + exponent > 0;
}

}  // namespace

NumberProblem read_number(std::string_view text, double& value) {
  const std::string_view number = without_sign(text);
  // std::from_chars accepts "inf", "nan" and a second sign.
  if (number.empty() || !(is_digit(number.front()) || number.front() == '.')) return NumberProblem::malformed;
  double read = 0;
  const char* const end = number.data() + number.size();
  const auto [stop, error] = std::from_chars(number.data(), end, read);
  if (stop != end || error == std::errc::invalid_argument) return NumberProblem::malformed;
  if (error == std::errc::result_out_of_range) {
    if (is_large(number)) return NumberProblem::too_large;
    read = 0;
  }
  if (!std::isfinite(read)) return NumberProblem::too_large;
  value = text.front() == '-' ? -read : read;
  return NumberProblem::none;
}

NumberProblem read_number(std::string_view text, float& value) {
  double wide = 0;
  if (const NumberProblem problem = read_number(text, wide); problem != NumberProblem::none) return problem;
  const auto narrow = static_cast<float>(wide);
  if (!std::isfinite(narrow)) return NumberProblem::too_large;
  value = narrow;
  return NumberProblem::none;
}

NumberProblem read_number(std::string_view text, std::int64_t& value) {
  const std::string_view number = without_sign(text);
  if (number.empty() || !std::ranges::all_of(number, is_digit)) return NumberProblem::malformed;
  if (text.front() == '+') text = number;
  std::int64_t read = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), read).ec != std::errc{}) return NumberProblem::too_large;
  value = read;
  return NumberProblem::none;
}

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  return read_number(text, value) == NumberProblem::none ? std::optional(value) : std::nullopt;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  return read_number(text, value) == NumberProblem::none ? std::optional(value) : std::nullopt;
}

bool same_value(const std::string& a, const std::string& b) {
  const auto x = parse_number(a), y = parse_number(b);
  return x && y ? *x == *y : a == b;
}

}  // namespace polyhead
