// Declared options: values as text, ranges and choices.
#include "core/base/field.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace polyhead {
namespace {

enum class Color { red, blue };
constexpr std::array<std::string_view, 2> choices(Color) {
  return {"red", "blue"};
}

struct Paint {
  Color color = Color::blue;
  std::int64_t layers = 2;
  double share = 0.5;
  bool dry = false;
};

std::vector<Field> fields(Paint& paint) {
  return {
      {.name = "color", .member = &paint.color, .help = "The color."},
      {.name = "layers", .member = &paint.layers, .help = "Number of layers.", .range = ">=1"},
      {.name = "share", .member = &paint.share, .help = "A fraction.", .range = ">0,<=1"},
      {.name = "dry", .member = NamedMember(&paint.dry, "wet", "dry"), .help = "Its state."},
  };
}

std::string error_of(const Paint& paint) {
  try {
    check_ranges("paint", paint);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Field, TextIsAsAFileHasIt) {
  std::int64_t whole = -3;
  std::optional<double> none;
  std::string text = "a b";
  std::vector<int> list = {1, 2};
  EXPECT_EQ(text_of(&whole), "-3");
  EXPECT_EQ(text_of(&none), "");
  EXPECT_EQ(text_of(&text), "a b");
  EXPECT_EQ(text_of(&list), "1, 2");
  for (const auto& [value, shown] :
       {std::pair(5e-4, "5e-4"), std::pair(1e-8, "1e-8"), std::pair(1.25e-5, "1.25e-5"), std::pair(0.0, "0"),
        std::pair(0.01, "0.01"), std::pair(0.1, "0.1"), std::pair(-2e-4, "-2e-4"), std::pair(300.0, "300")}) {
    double number = value;
    EXPECT_EQ(text_of(&number), shown);
  }
}

TEST(Field, ChoicesAreSetByName) {
  Paint paint;
  const std::vector<Field> all = fields(paint);
  const auto& color = std::get<NamedMember>(all[0].member);
  EXPECT_EQ(color.text(), "blue");
  EXPECT_TRUE(color.set("red"));
  EXPECT_EQ(paint.color, Color::red);
  EXPECT_FALSE(color.set("green"));
  EXPECT_EQ(paint.color, Color::red);
  EXPECT_TRUE(std::get<NamedMember>(all[3].member).set("dry"));
  EXPECT_TRUE(paint.dry);
  std::string method = "none";
  const NamedMember named(&method, {"equal", "static"});
  EXPECT_TRUE(named.set("static"));
  EXPECT_EQ(method, "static");
}

TEST(Field, NumbersOutsideTheirRangeAreRefusedByName) {
  EXPECT_EQ(error_of({}), "");
  EXPECT_EQ(error_of({.layers = 0}), "paint.layers = 0: expected a whole number >= 1");
  EXPECT_EQ(error_of({.share = 0}), "paint.share = 0: expected a number > 0 and <= 1");
  EXPECT_EQ(error_of({.share = 1}), "");
  for (const double value : {1.5, std::nan(""), HUGE_VAL, -HUGE_VAL})
    EXPECT_NE(error_of({.share = value}), "") << value;
}

}  // namespace
}  // namespace polyhead
