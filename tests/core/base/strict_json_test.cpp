// JSON within limits: a document that exceeds them is refused at once.
#include "core/base/strict_json.h"

#include <gtest/gtest.h>

#include <chrono>

#include <nlohmann/json.hpp>

namespace polyhead {
namespace {

std::string refusal(const std::string& text, const JsonLimits& limits = {}) {
  try {
    parse_strictly(text, limits);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(StrictJson, ReadsJson) {
  const auto read = parse_strictly(R"({"a":[1,{"b":null}],"c":{"a":"x"}})");
  EXPECT_EQ(read.dump(), R"({"a":[1,{"b":null}],"c":{"a":"x"}})");
  EXPECT_EQ(parse_strictly("3").dump(), "3");
}

TEST(StrictJson, RefusesWhatIsNoneOrHasAKeyTwice) {
  EXPECT_NE(refusal("").find("not JSON"), std::string::npos);
  EXPECT_NE(refusal("{\"a\":}").find("not JSON"), std::string::npos);
  EXPECT_NE(refusal("{} {}").find("not JSON"), std::string::npos);
  EXPECT_NE(refusal("\"\xff\"").find("not JSON"), std::string::npos);
  EXPECT_NE(refusal(R"({"x":{"a":1,"a":1}})").find("key 'a' twice"), std::string::npos);
  EXPECT_EQ(refusal(R"({"a":{"a":1},"b":[{"a":1},{"a":2}]})"), "");
}

TEST(StrictJson, HasLimits) {
  const JsonLimits limits = {.depth = 3, .list = 3, .nested = 2, .object = 2};
  EXPECT_EQ(refusal(R"([[[1,2],[3]],[]])", limits), "");
  EXPECT_NE(refusal(R"([[[[]]]])", limits).find("more than 3 lists and objects"), std::string::npos);
  EXPECT_NE(refusal("[1,2,3,4]", limits).find("list of more than 3 entries"), std::string::npos);
  EXPECT_NE(refusal("[[],[],{}]", limits).find("list of more than 2 objects or lists"), std::string::npos);
  EXPECT_NE(refusal(R"({"a":1,"b":1,"c":1})", limits).find("more than 2 keys"), std::string::npos);
  EXPECT_EQ(refusal(R"({"a":{"b":[[1]]}})", limits), "a.b has more than 3 lists and objects within each other");
  EXPECT_NE(refusal(std::string(1'000'000, '[')).find("more than 16"), std::string::npos);
}

TEST(StrictJson, TakesTimeInProportionToTheText) {
  std::string list = "[{\"a\":[1]}";
  for (int i = 1; i < 100'000; ++i) list += ",{\"a\":[1]}";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_strictly(list + "]").size(), 100'000U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace polyhead
