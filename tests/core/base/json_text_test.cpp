// JSON of limited depth, with numbers in their original spelling.
#include "core/base/json_text.h"

#include <gtest/gtest.h>

#include <string>

namespace polyhead {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string again(const std::string& text) {
  return dump_exactly(parse_json<ordered_json>(text, Numbers::exact));
}

std::string refusal(const std::string& text) {
  try {
    parse_json<json>(text);
  } catch (const JsonError& error) {
    return error.what();
  }
  return "no error";
}

TEST(JsonTextTest, NumbersAreWrittenAsTheyWere) {
  for (const char* text : {"{}", "[]", R"({"b":[1,-2,{}],"a":{"c":[[]]},"d":null,"e":true,"f":"x\"y"})",
                           "123456789012345678901", "-98765432109876543210", "1.10", "1E5", "1e-7", "0.1", "-0.0",
                           "18446744073709551615", "[123456789012345678901234567890,2.50]"})
    EXPECT_EQ(again(text), text);
  EXPECT_EQ(again("{ \"a\" : 1 }"), "{\"a\":1}");
}

TEST(JsonTextTest, NumbersKeptAsWrittenAreStillNumbers) {
  const auto value = parse_json<json>("[123456789012345678901, 1.10, \"x\"]");
  EXPECT_EQ(number_of(value[0]), 123456789012345678901.0);
  EXPECT_EQ(written_number(value[0]), "123456789012345678901");
  EXPECT_TRUE(value[1].is_number_float());
  EXPECT_EQ(number_of(value[2]), std::nullopt);
  EXPECT_EQ(number_of(parse_json<json>("1.10", Numbers::exact)), 1.1);
}

TEST(JsonTextTest, RefusesWhatIsNotOneValue) {
  EXPECT_NE(refusal("{\"a\": 1e999}").find("is not JSON (number overflow"), std::string::npos) << refusal("1e999");
  EXPECT_NE(refusal(std::string("{}\0{}", 5)).find("zero byte at column 3"), std::string::npos);
  EXPECT_NE(refusal("{} {}").find("at column 4"), std::string::npos) << refusal("{} {}");
  EXPECT_NE(refusal("").find("is not JSON"), std::string::npos);
  EXPECT_NE(refusal("{\"a\": \"\xff\"}").find("is not JSON"), std::string::npos);
  EXPECT_LT(refusal("\"" + std::string(100'000, 'a')).size(), 400U);
}

TEST(JsonTextTest, RefusesAKeyThatAnObjectHasTwice) {
  for (const char* text : {R"({"b":1,"a":2,"b":1})", R"({"x":{"c":[{"b":1,"b":null}]}})", R"({"b":{"b":1},"b":2})"}) {
    EXPECT_EQ(refusal(text), "has the key 'b' twice in one object, and only one of them can count") << text;
    EXPECT_THROW(parse_json<ordered_json>(text), JsonError);
  }
  EXPECT_EQ(again(R"({"a":{"a":[{"a":1},{"a":1}]}})"), R"({"a":{"a":[{"a":1},{"a":1}]}})");
}

TEST(JsonTextTest, DepthIsBounded) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(again(nested(kMaxJsonDepth)), nested(kMaxJsonDepth));
  EXPECT_NE(refusal(nested(kMaxJsonDepth + 1)).find("at most 4096"), std::string::npos);
  EXPECT_NE(refusal(std::string(10'000'000, '[')).find("at most 4096"), std::string::npos);
}

}  // namespace
}  // namespace polyhead
