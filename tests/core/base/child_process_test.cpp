// Child processes that end well, crash, never end or use too much memory: each gives a result.
#include "core/base/child_process.h"

#include <csignal>
#include <cstdlib>
#include <map>
#include <new>
#include <vector>

#include <gtest/gtest.h>

namespace polyhead {
namespace {

std::map<std::size_t, ChildResult> run(std::size_t count, const std::function<std::string(std::size_t)>& job,
                                       std::size_t at_once = 3) {
  std::map<std::size_t, ChildResult> results;
  run_children(
      count, at_once, [](std::size_t) { return ChildLimits{.memory_bytes = 256 << 20, .cpu_seconds = 1}; }, job,
      [&](std::size_t i, ChildResult result) { EXPECT_TRUE(results.emplace(i, std::move(result)).second); });
  return results;
}

TEST(ChildProcess, ReturnsWhatTheJobsDo) {
  // More than a pipe holds, and more jobs than run at once.
  const auto results = run(10, [](std::size_t i) { return std::string(100'000 * i, static_cast<char>('a' + i)); });
  ASSERT_EQ(results.size(), 10U);
  for (const auto& [i, result] : results) {
    EXPECT_EQ(result.output, std::string(100'000 * i, static_cast<char>('a' + i)));
    EXPECT_EQ(result.ended, "");
    EXPECT_FALSE(result.crashed);
  }
  EXPECT_TRUE(run(0, [](std::size_t) { return ""; }).empty());
}

TEST(ChildProcess, NamesHowOneEnded) {
  const auto results = run(5, [](std::size_t i) -> std::string {
    volatile std::uint64_t spin = 0;
    switch (i) {
      case 0:
        std::raise(SIGSEGV);
        break;
      case 1:
        std::abort();
      case 2:
        for (;;) spin = spin + 1;
      case 3:
        throw std::bad_alloc();
      default:
        break;
    }
    return "whole";
  });
  ASSERT_EQ(results.size(), 5U);
  EXPECT_TRUE(results.at(0).crashed);
  EXPECT_EQ(results.at(0).ended, "signal 11, Segmentation fault");
  EXPECT_TRUE(results.at(1).crashed);
  EXPECT_EQ(results.at(1).ended, "signal 6, Aborted");
  EXPECT_FALSE(results.at(2).crashed);
  EXPECT_EQ(results.at(2).ended, "more than 1 s of CPU time");
  EXPECT_FALSE(results.at(3).crashed);
  EXPECT_EQ(results.at(3).ended, "more than 256 MiB of memory");
  EXPECT_EQ(results.at(4).output, "whole");  // the others' ends do not touch it
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(ChildProcess, LimitsMemory) {
  const auto results = run(2, [](std::size_t i) {
    const std::vector<char> some((i + 1) * (200ULL << 20));
    return std::to_string(some.size());
  });
  EXPECT_EQ(results.at(0).output, std::to_string(200ULL << 20));
  EXPECT_EQ(results.at(1).ended, "more than 256 MiB of memory");
}
#endif

}  // namespace
}  // namespace polyhead
