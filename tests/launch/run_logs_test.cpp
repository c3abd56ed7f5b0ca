// Logs: lines are complete and have a checksum, and a failure to write them does not end the run.
#include "launch/run_logs.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/files.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using testing::expect_contains;
using testing::TemporaryFolder;

void silent(const std::string&) {}

struct Warnings {
  std::string all;
  std::size_t count = 0;
  LogFile::Warn hear() {
    return [this](const std::string& text) {
      all += text + "\n";
      ++count;
    };
  }
};

// Metrics of steps 1 to `last`. -> the file's content
std::string write_steps(const fs::path& file, std::int64_t last) {
  MetricsFile metrics(file, 0, silent);
  Observer::Step step;
  step.loss = {{"a", 1.5}};
  for (step.step = 1; step.step <= last; ++step.step) metrics.write(step);
  return read_file(file);
}

void put(const fs::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

TEST(Metrics, WritesOneObjectALine) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "metrics.jsonl";
  MetricsFile metrics(file, 0, silent);
  Observer::Step step;
  step.step = 7;
  step.loss = {{"section", 2.1}, {"bad", std::numeric_limits<double>::quiet_NaN()}};
  step.weight = {{"section", 0.5}};
  step.tokens = 2048;
  step.seconds = 0.31;
  step.ids_hash = 255;
  metrics.write(step);
  step.skipped = true;
  step.plain_loss = {{"section", 1.9}};
  metrics.write(step);
  metrics.write_eval(200, "valid", "section", {{"accuracy", 0.61}});
  std::istringstream lines(read_file(file));  // before the file is closed: every line is written
  std::string line;
  std::getline(lines, line);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["kind"], "step");
  EXPECT_EQ(json["step"], 7);
  EXPECT_EQ(json["loss"]["section"], 2.1);
  EXPECT_TRUE(json["loss"]["bad"].is_null());
  EXPECT_EQ(json["weight"]["section"], 0.5);
  EXPECT_EQ(json["tokens"], 2048);
  EXPECT_EQ(json["seconds"], 0.31);
  EXPECT_EQ(json["ids_hash"], "00000000000000ff");
  EXPECT_FALSE(json.contains("skipped"));
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line)["skipped"], true);
  std::getline(lines, line);
  EXPECT_EQ(line.substr(0, line.find(",\"check\"")) + "}",
            R"({"kind":"eval","step":200,"split":"valid","task":"section","metrics":{"accuracy":0.61}})");
  EXPECT_EQ(nlohmann::json::parse(line)["check"].get<std::string>().size(), 16U);
}

TEST(Metrics, CutToTheResumedStep) {
  const TemporaryFolder folder;
  const std::string kept =
      "{\"kind\":\"step\",\"step\":1}\n{\"kind\":\"step\",\"step\":2}\n{\"kind\":\"eval\",\"step\":2}\n";
  const auto file = folder.write("metrics.jsonl", kept + "{\"kind\":\"step\",\"step\":3}\n{\"kind\":\"st");
  Warnings warnings;
  MetricsFile(file, 2, warnings.hear()).write_eval(3, "valid", "a", {});
  expect_contains(read_file(file),
                  kept + R"({"kind":"eval","step":3,"split":"valid","task":"a","metrics":{},"check":)");
  EXPECT_TRUE(warnings.all.empty()) << warnings.all;  // lines of an earlier version have no check
  { const MetricsFile again(file, 3, silent); }
  EXPECT_NE(read_file(file), kept);  // nothing to drop
  { const MetricsFile fresh(file, 0, warnings.hear()); }
  EXPECT_TRUE(warnings.all.empty()) << warnings.all;  // the run starts from step 1
  EXPECT_EQ(read_file(file), "");
}

// Every single flipped bit of a line is found, and the step named.
TEST(Metrics, AFlippedBitIsFound) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "metrics.jsonl";
  const std::string good = write_steps(file, 3);
  const std::size_t second = good.find('\n') + 1, third = good.find('\n', second) + 1;
  for (std::size_t at = second; at + 1 < third; ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ (1U << static_cast<unsigned>(bit)));
      put(file, bad);
      Warnings warnings;
      { const MetricsFile metrics(file, 3, warnings.hear()); }
      ASSERT_EQ(warnings.count, 1U) << "byte " << at - second << ", bit " << bit;
      expect_contains(warnings.all, "no lines of the steps 2");
      ASSERT_EQ(read_file(file), good.substr(0, second) + good.substr(third));
      ASSERT_EQ(read_file(file.string() + ".damaged"), bad);
    }
}

TEST(Metrics, MissingStepsAreNamed) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "metrics.jsonl";
  const std::string good = write_steps(file, 12);
  const auto warning_of = [&](const std::string& text, std::int64_t resumed) {
    put(file, text);
    Warnings warnings;
    { const MetricsFile metrics(file, resumed, warnings.hear()); }
    return warnings.all;
  };
  EXPECT_EQ(warning_of(good, 12), "");
  EXPECT_EQ(warning_of(good, 10), "");
  EXPECT_EQ(warning_of(good + "{\"kind\":\"st", 12), "");  // a line that the process did not finish
  expect_contains(warning_of("", 12), "no lines of the steps 1 to 12");
  expect_contains(warning_of(std::string(good.size(), '\0'), 12), "no lines of the steps 1 to 12");
  expect_contains(warning_of(good.substr(0, good.size() / 2), 12), " to 12. The model is not affected");
  const std::size_t fourth = good.find("{\"kind\":\"step\",\"step\":4"),
                    ninth = good.find("{\"kind\":\"step\",\"step\":9");
  const std::size_t tenth = good.find('\n', ninth) + 1;
  expect_contains(warning_of(good.substr(0, fourth) + good.substr(ninth), 12), "no lines of the steps 4 to 8. ");
  expect_contains(warning_of(good.substr(0, ninth) + good.substr(tenth), 12), "no lines of the steps 9. ");
  fs::remove(file);
  Warnings warnings;
  { const MetricsFile metrics(file, 2, warnings.hear()); }
  expect_contains(warnings.all, "no lines of the steps 1 to 2");
}

// A limit of the file's size stands for a full disk: what does not fit is kept, and written whole later.
TEST(LogFile, WhatHasNoRoomIsWrittenLater) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "log";
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  Warnings warnings;
  LogFile log(file, warnings.hear());
  log.append("first line\n");
  const rlimit small{.rlim_cur = 15, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  log.append("second line\n");
  log.append("third line\n");
  const std::string then = read_file(file);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(then, "first line\n");
  EXPECT_EQ(warnings.count, 1U) << warnings.all;
  expect_contains(warnings.all, "File too large. The run continues");
  log.append("fourth line\n");
  EXPECT_EQ(read_file(file), "first line\nsecond line\nthird line\nfourth line\n");
  EXPECT_EQ(warnings.count, 2U);
  expect_contains(warnings.all, "is complete");
}

TEST(LogFile, AFileThatCannotBeOpenedOrWasDeletedIsAWarning) {
  const TemporaryFolder folder;
  Warnings warnings;
  LogFile nowhere(folder.path() / "no" / "log", warnings.hear());
  nowhere.append("a\n");
  nowhere.sync();
  EXPECT_EQ(warnings.count, 1U);
  fs::create_directory(folder.path() / "no");
  nowhere.append("b\n");
  EXPECT_EQ(read_file(folder.path() / "no" / "log"), "a\nb\n");
  fs::remove(folder.path() / "no" / "log");
  nowhere.sync();
  expect_contains(warnings.all, "was deleted");
  nowhere.append("c\n");
  EXPECT_EQ(read_file(folder.path() / "no" / "log"), "c\n");
}

TEST(RankLog, AppendsLinesWithTime) {
  const TemporaryFolder folder;
  RankLog(folder.path(), 3, silent).line("first");
  RankLog(folder.path(), 3, silent).line("second");
  const std::string text = read_file(folder.path() / "logs" / "rank-0003.log");
  expect_contains(text, " first\n");
  expect_contains(text, " second\n");
  EXPECT_EQ(text.substr(0, 2), "20");
}

}  // namespace
}  // namespace polyhead
