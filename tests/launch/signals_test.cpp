// What signals do to a run: they set a flag, and only the third TERM ends the process.
#include "launch/signals.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace polyhead {
namespace {

TEST(SignalsDeathTest, OnlyTheThirdTermEndsTheProcess) {
  const auto say = [] { std::fputs(stop_requested() ? "asked to stop " : "not asked ", stderr); };
  const auto body = [&] {
    catch_stop_signals();
    say();
    for (int i = 0; i < 3; ++i) {
      std::raise(SIGTERM);
      say();
    }
    std::_Exit(1);
  };
  EXPECT_EXIT(body(), ::testing::KilledBySignal(SIGTERM), "^not asked asked to stop asked to stop $");
}

TEST(SignalsDeathTest, Usr1NeverEndsIt) {
  const auto body = [] {
    catch_stop_signals();
    for (int i = 0; i < 5; ++i) std::raise(SIGUSR1);
    std::_Exit(stop_requested() ? 7 : 1);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace polyhead
