// Trimming, digits in groups, and the words for an input.
#include "core/base/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace polyhead {
namespace {

TEST(Text, TrimRemovesWhiteSpaceAtBothEnds) {
  EXPECT_EQ(trim(" \ta b\r\n"), "a b");
  EXPECT_EQ(trim("a"), "a");
  EXPECT_EQ(trim(" \v\f "), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Text, CommasStandBeforeEveryThirdDigit) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(-123456), "-123,456");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(std::numeric_limits<std::uint64_t>::max()), "18,446,744,073,709,551,615");
}

TEST(Text, AnInputIsNamedByItsWidth) {
  EXPECT_EQ(describe_input(0), "tokens");
  EXPECT_EQ(describe_input(0, "text"), "text");
  EXPECT_EQ(describe_input(12), "vectors of 12 numbers");
}

}  // namespace
}  // namespace polyhead
