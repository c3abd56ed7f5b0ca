// Choices by name: those of the model's options, as option files and state.json write them.
#include "core/base/choice.h"

#include <gtest/gtest.h>

#include "core/model/options.h"

namespace polyhead {
namespace {

TEST(Choice, NamesAreReadAsTheyAreWritten) {
  EXPECT_EQ(name_of(Sharing::ple), "ple");
  EXPECT_EQ(choice_from<Sharing>("mtan"), Sharing::mtan);
  EXPECT_EQ(choice_from<Sharing>("soft"), std::nullopt);
  EXPECT_EQ(choice_from<EncoderForm>(""), std::nullopt);
  EXPECT_EQ(all_choices<AttentionMode>("|"), "competitive|independent|mean|first");
  EXPECT_EQ(name_of(Schedule::inverse_sqrt), "inverse_sqrt");
}

}  // namespace
}  // namespace polyhead
