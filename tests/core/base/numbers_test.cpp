// Parsing of numbers: valid ones, ones that are too large, and other texts.
#include "core/base/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace polyhead {
namespace {

TEST(Numbers, AreReadAsPeopleWriteThem) {
  for (const auto& [text, expected] :
       {std::pair("60", 60.0), std::pair("+60.0", 60.0), std::pair("-.5", -0.5), std::pair("5.", 5.0),
        std::pair("1e-50", 1e-50), std::pair("1E+3", 1000.0), std::pair("007", 7.0), std::pair("5e-324", 5e-324),
        std::pair("1.7976931348623157e308", std::numeric_limits<double>::max())})
    EXPECT_EQ(parse_number(text), expected) << text;
}

TEST(Numbers, TooSmallIsZeroWithItsSign) {
  for (const char* text : {"1e-400", "0.000e999", "1e-99999999999999999999"}) {
    EXPECT_EQ(parse_number(text), 0.0) << text;
    EXPECT_FALSE(std::signbit(parse_number(text).value())) << text;
  }
  EXPECT_TRUE(std::signbit(parse_number("-1e-400").value()));
  EXPECT_EQ(parse_number(std::string("0.") + std::string(400, '0') + "1"), 0.0);
  float value = 1;
  EXPECT_EQ(read_number("1e-50", value), NumberProblem::none);
  EXPECT_EQ(value, 0.0F);
}

TEST(Numbers, TooLargeIsNoNumber) {
  double wide = 7;
  for (const std::string& text : {std::string("1e999"), std::string("-2.5e400"), std::string(400, '9'),
                                  std::string("0.001e99999999999999999999"), std::string("1.8e308")})
    EXPECT_EQ(read_number(text, wide), NumberProblem::too_large) << text;
  EXPECT_EQ(wide, 7);
  float narrow = 7;
  EXPECT_EQ(read_number("1e39", narrow), NumberProblem::too_large);
  EXPECT_EQ(read_number("3.4e38", narrow), NumberProblem::none);
  std::int64_t whole = 7;
  EXPECT_EQ(read_number("9223372036854775807", whole), NumberProblem::none);
  EXPECT_EQ(whole, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(read_number("9223372036854775808", whole), NumberProblem::too_large);
  EXPECT_EQ(read_number("-9223372036854775808", whole), NumberProblem::none);
  EXPECT_EQ(whole, std::numeric_limits<std::int64_t>::min());
}

TEST(Numbers, OthersAreMalformed) {
  double value = 7;
  for (const char* text : {"",     "+",  "-",  ".",   "e5",  "1e",  "1e+",   "nan",   "inf", "-inf",  "infinity",
                           "0x10", " 1", "1 ", "1,5", "--1", "+-1", "1_000", "1.2.3", "1d",  "1e999x"})
    EXPECT_EQ(read_number(text, value), NumberProblem::malformed) << text;
  EXPECT_EQ(value, 7);
  for (const char* text : {"", "+", "1.0", "1e3", "0x10", "+-1", " 1", "one"})
    EXPECT_FALSE(parse_integer(text).has_value()) << text;
  EXPECT_EQ(parse_integer("+12"), 12);
  EXPECT_EQ(parse_integer("-012"), -12);
}

}  // namespace
}  // namespace polyhead
