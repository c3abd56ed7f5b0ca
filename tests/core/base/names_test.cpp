// Names as parts of file names.
#include "core/base/names.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace polyhead {
namespace {

TEST(Names, UsualNamesAreKept) {
  for (const char* name : {"section", "my task", "naïve", "a]b", "x=y", "a, b", "..", "100%", "head.a-b_c"})
    EXPECT_EQ(file_stem(name), name);
}

TEST(Names, WhatAFileNameCannotHoldIsEncoded) {
  EXPECT_EQ(file_stem("nli/mnli"), "nli%2Fmnli");
  EXPECT_EQ(file_stem("nli%2Fmnli"), "nli%252Fmnli");
  EXPECT_EQ(file_stem(std::string("a\0b\n", 4)), "a%00b%0A");
}

TEST(Names, LongNamesStayShortAndDifferent) {
  std::set<std::string> stems;
  for (const char* end : {"a", "b", "aa"}) {
    std::string name;
    for (int i = 0; i < 200; ++i) name += "é";
    const std::string stem = file_stem(name + end);
    EXPECT_LE(stem.size(), 190U);
    EXPECT_TRUE(is_utf8(stem));
    stems.insert(stem);
  }
  EXPECT_EQ(stems.size(), 3U);
}

TEST(Names, WithCommasAreJoinedAgain) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(join_known_names({"a", "b", "c"}, {"a, b", "c"}), (Names{"a, b", "c"}));
  EXPECT_EQ(join_known_names({"a", "b", "c"}, {"a", "a,b", "c"}), (Names{"a,b", "c"}));
  EXPECT_EQ(join_known_names({"a", "b", "c"}, {"a", "b", "c"}), (Names{"a", "b", "c"}));
  EXPECT_EQ(join_known_names({"a", "b", "c"}, {"a, b", "a, b, c"}), (Names{"a, b, c"}));
  EXPECT_EQ(join_known_names({"x", "b"}, {"a, b"}), (Names{"x", "b"}));
  EXPECT_EQ(join_known_names({}, {"a"}), Names{});
}

TEST(Names, Utf8) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("donnée \xef\xbf\xbd"));
  EXPECT_FALSE(
      is_utf8("donn\xe9"
              "es"));
  EXPECT_FALSE(is_utf8("\xc3"));
}

}  // namespace
}  // namespace polyhead
