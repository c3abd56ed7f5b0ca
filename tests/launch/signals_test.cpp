// What signals do to a run: they set a flag, and only the third TERM ends the process.
#include "launch/signals.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

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

TEST(SignalsDeathTest, AClosedTerminalAsksToStopButNotUnderNohup) {
  const auto body = [](bool nohup) {
    if (nohup) std::signal(SIGHUP, SIG_IGN);
    catch_stop_signals();
    std::raise(SIGHUP);
    std::_Exit(stop_requested() ? 7 : 8);
  };
  EXPECT_EXIT(body(false), ::testing::ExitedWithCode(7), "");
  EXPECT_EXIT(body(true), ::testing::ExitedWithCode(8), "");
}

TEST(SignalsDeathTest, WritesFailInsteadOfEndingTheProcess) {
  const auto body = [] {
    make_write_signals_errors(true);
    std::raise(SIGPIPE);
    std::raise(SIGXFSZ);
    std::_Exit(7);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "");
}

// Else the next file would take the place of standard error, and messages would go into it.
TEST(SignalsDeathTest, ClosedStreamsStayClosed) {
  const auto body = [] {
    ::close(STDOUT_FILENO);
    ::close(STDIN_FILENO);
    open_standard_streams();
    const int file = ::open("/dev/null", O_RDWR);
    char letter = 'x';
    const bool closed = ::write(STDOUT_FILENO, &letter, 1) < 0 && ::read(STDIN_FILENO, &letter, 1) < 0;
    std::_Exit(file > STDERR_FILENO && closed ? 7 : 1);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace polyhead
