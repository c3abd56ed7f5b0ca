// Signals to a run: they set a flag, and only the second INT and the third TERM end the process.
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
    std::signal(SIGHUP, nohup ? SIG_IGN : SIG_DFL);
    catch_stop_signals();
    std::raise(SIGHUP);
    std::_Exit(stop_requested() ? 7 : 8);
  };
  EXPECT_EXIT(body(false), ::testing::ExitedWithCode(7), "");
  EXPECT_EXIT(body(true), ::testing::ExitedWithCode(8), "");
}

TEST(SignalsDeathTest, ASilencedSignalWritesNoLine) {
  const auto body = [] {
    catch_stop_signals("polyhead train", "a checkpoint is saved");
    silence_stop_signals();
    std::raise(SIGTERM);
    std::_Exit(stop_requested() ? 7 : 1);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "^$");
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

TEST(SignalsDeathTest, TheSecondIntEndsIt) {
  const auto body = [] {
    std::signal(SIGINT, SIG_DFL);
    catch_stop_signals("polyhead train", "the run saves and ends");
    std::raise(SIGINT);
    std::fputs(stop_requested() ? "asked " : "not asked ", stderr);
    std::raise(SIGTERM);
    std::raise(SIGINT);
    std::_Exit(1);
  };
  EXPECT_EXIT(body(), ::testing::KilledBySignal(SIGINT),
              "^polyhead train: SIGINT: the run saves and ends; a second Ctrl-C ends it at once, without "
              "saving.\nasked $");
}

TEST(SignalsDeathTest, AnIntThatWasIgnoredStaysIgnored) {
  const auto body = [] {
    std::signal(SIGINT, SIG_IGN);
    std::signal(SIGHUP, SIG_IGN);
    catch_stop_signals();
    for (int i = 0; i < 3; ++i) std::raise(SIGINT);
    std::raise(SIGHUP);
    std::_Exit(stop_requested() ? 1 : 7);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "");
}

TEST(SignalsDeathTest, HupAsksToStopAndPipeAndXfszDoNot) {
  const auto body = [] {
    std::signal(SIGHUP, SIG_DFL);
    catch_stop_signals();
    make_write_signals_errors(true);
    std::raise(SIGPIPE);
    std::raise(SIGXFSZ);
    if (stop_requested()) std::_Exit(1);
    std::raise(SIGHUP);
    std::_Exit(stop_requested() ? 7 : 1);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "");
}

TEST(SignalsDeathTest, AnEarlySignalIsToldLater) {
  const auto body = [] {
    char program[] = "polyhead", command[] = "train";
    char* words[] = {program, command, nullptr};
    catch_early_signals(2, words);
    std::raise(SIGUSR1);
    std::fputs("early ", stderr);
    catch_stop_signals("polyhead train", "the run ends");
    std::raise(SIGUSR1);  // is not told again
    std::_Exit(stop_requested() ? 7 : 1);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(7), "^early polyhead train: SIGUSR1: the run ends.\n$");
}

TEST(SignalsDeathTest, OtherCommandsKeepTheirSignals) {
  const auto body = [] {
    char program[] = "polyhead", command[] = "inspect";
    char* words[] = {program, command, nullptr};
    std::signal(SIGUSR1, SIG_DFL);
    catch_early_signals(2, words);
    std::raise(SIGUSR1);
    std::_Exit(1);
  };
  EXPECT_EXIT(body(), ::testing::KilledBySignal(SIGUSR1), "");
}

}  // namespace
}  // namespace polyhead
