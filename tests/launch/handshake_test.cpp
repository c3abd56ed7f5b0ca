// The table of differences between workers.
#include "launch/handshake.h"

#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::expect_contains;

TEST(Handshake, NothingWhereAllAreTheSame) {
  EXPECT_EQ(table_of_differences({{{"a", "1"}}, {{"a", "1"}}}), "");
  EXPECT_EQ(table_of_differences({{{"a", "1"}}}), "");
}

TEST(Handshake, ValuesWithTheirWorkers) {
  std::vector<Facts> all(64, Facts{{"lr", "0.001"}, {"seed", "1"}, {"data", "x"}});
  all[3][0].second = all[4][0].second = all[63][0].second = "0.1";
  all[7].pop_back();
  EXPECT_EQ(table_of_differences(all),
            "what  value      workers\n"
            "----  ---------  ---------\n"
            "lr    0.001      0-2, 5-62\n"
            "      0.1        3-4, 63\n"
            "data  x          0-6, 8-63\n"
            "      not given  7\n");
}

TEST(Handshake, ALongTableIsCut) {
  std::vector<Facts> all(2);
  for (int i = 0; i < 100; ++i)
    for (std::size_t rank = 0; rank < 2; ++rank)
      all[rank].emplace_back("key" + std::to_string(i), std::to_string(rank));
  expect_contains(table_of_differences(all), "and 80 more that differ");
}

TEST(Handshake, OptionsInOneForm) {
  const auto facts = [](const std::vector<std::string>& words) {
    const Config config = parse_options("train", train_options(), words);
    return facts_of_words("train", &config);
  };
  EXPECT_EQ(facts({"--optimizer.lr", "1e-3", "--task.a.weight", "1"}), facts({"--optimizer.lr", "0.001"}));
  EXPECT_EQ(facts({"--run.tasks", "a,b", "--data", "x"}), facts({"--run.tasks", "a, b", "--data", "y"}));
  EXPECT_NE(facts({"--run.seed", "2"}), facts({}));
  EXPECT_NE(facts({"--print-config"}), facts({}));
  EXPECT_NE(facts_of_words("train", nullptr), facts({}));
}

}  // namespace
}  // namespace polyhead
