// Printed output: tables, numbers, verdicts, progress.
#include <fmt/format.h>

#include "core/base/files.h"
#include "core/base/text.h"
#include "launch/progress.h"
#include "launch/table.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::expect_contains;
using testing::TemporaryFolder;

TEST(Table, AlignsByCharactersOfUtf8) {
  EXPECT_EQ(format_table({"name", "n"}, {{"é", "1"}, {"langer", "100"}}, "lr"),
            "name      n\n"
            "------  ---\n"
            "é         1\n"
            "langer  100\n");
  EXPECT_EQ(format_table({"a", "b"}, {}, ""), "a  b\n-  -\n");
}

TEST(Table, Verdicts) {
  TaskResult result{.task = "a",
                    .kind = "classification",
                    .samples = 1000,
                    .metric = "accuracy",
                    .value = 0.7,
                    .has_interval = true,
                    .low = 0.6,
                    .high = 0.8,
                    .baseline = "majority class",
                    .baseline_value = 0.5};
  EXPECT_EQ(verdict(result), "above");
  result.baseline_value = 0.65;
  EXPECT_EQ(verdict(result), "not apart");
  result.baseline_value = 0.9;
  EXPECT_EQ(verdict(result), "below");
  result.lower_is_better = true;
  EXPECT_EQ(verdict(result), "better");
  result.baseline_value = 0.5;
  EXPECT_EQ(verdict(result), "worse");
  result.has_interval = false;
  EXPECT_EQ(verdict(result), "");
}

TEST(Table, Results) {
  const std::string text = format_results({{.task = "section",
                                            .kind = "classification",
                                            .samples = 5800,
                                            .metric = "accuracy",
                                            .value = 0.7,
                                            .has_interval = true,
                                            .low = 0.69,
                                            .high = 0.71,
                                            .baseline = "majority class",
                                            .baseline_value = 0.25},
                                           {.task = "en-it",
                                            .kind = "translation",
                                            .samples = 10,
                                            .metric = "chrF",
                                            .value = 36.123,
                                            .baseline = "copy of the source",
                                            .baseline_value = 36,
                                            .decimals = 2}});
  EXPECT_EQ(
      text,
      "task     kind            samples  metric     value     95 % interval  baseline                    verdict\n"
      "-------  --------------  -------  --------  ------  ----------------  --------------------------  -------\n"
      "section  classification    5,800  accuracy  0.7000  0.6900 to 0.7100  0.2500 (majority class)     above\n"
      "en-it    translation          10  chrF       36.12                    36.00 (copy of the source)\n");
}

TEST(Table, Numbers) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(-1000), "-1,000");
  EXPECT_EQ(with_commas(1234567), "1,234,567");
  EXPECT_EQ(duration(-3), "0 s");
  EXPECT_EQ(duration(89), "89 s");
  EXPECT_EQ(duration(600), "10 min");
  EXPECT_EQ(duration(7500), "2 h 05 min");
}

std::string shown(bool terminal) {
  const TemporaryFolder folder;
  std::FILE* stream = std::fopen((folder.path() / "out").c_str(), "w");
  {
    ProgressDisplay progress(stream, terminal, 1, 10);
    for (std::int64_t step = 1; step <= 10; ++step)
      progress.step(step, {{"a", 2.0}}, {}, 100, static_cast<double>(step));
    progress.note("done");
  }
  std::fclose(stream);
  return read_file(folder.path() / "out");
}

TEST(Progress, LinesElsewhere) {
  // One after 5 s, one at the end; the clock begins with the end of the first step.
  EXPECT_EQ(shown(false),
            "step 6/10  100 tokens/s  4 s left  loss a 2.000\n"
            "step 10/10  100 tokens/s  0 s left  loss a 2.000\n"
            "done\n");
}

TEST(Progress, TheLossWithoutSmoothingIsBesideTheOther) {
  const TemporaryFolder folder;
  std::FILE* stream = std::fopen((folder.path() / "out").c_str(), "w");
  ProgressDisplay(stream, false, 1, 1).step(1, {{"a", 2.0}, {"b", 3.0}}, {{"b", 2.5}}, 100, 1);
  std::fclose(stream);
  expect_contains(read_file(folder.path() / "out"), "loss a 2.000 b 3.000 (2.500 without smoothing)\n");
}

TEST(Progress, ANarrowTerminalHasTheMeanAndTheWorst) {
  const TemporaryFolder folder;
  std::FILE* stream = std::fopen((folder.path() / "out").c_str(), "w");  // which counts as 80 columns wide
  std::map<std::string, double> loss;
  for (int i = 0; i < 30; ++i) loss[fmt::format("task-{:02}", i)] = i == 7 ? 9.0 : 1.0;
  ProgressDisplay(stream, true, 1, 10).step(10, loss, {}, 100, 1);
  std::fclose(stream);
  const std::string text = read_file(folder.path() / "out");
  expect_contains(text, "loss mean 1.267, worst task-07 9.000");
  EXPECT_LT(text.size(), 81U);
}

TEST(Progress, ABarOnATerminal) {
  const std::string text = shown(true);
  expect_contains(text, "[==========          ] step 5/10  100 tokens/s  5 s left  loss a 2.000");
  expect_contains(text, "\r\033[K[====================] step 10/10");
  expect_contains(text, "\r\033[Kdone\n");
}

}  // namespace
}  // namespace polyhead
