// The parts of the watchdog: the timeline's ring buffer, the decision who is late, and stacks of threads. Its
// connections are tested in channel_test.cpp.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <sys/wait.h>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/files.h"
#include "core/base/progress.h"
#include "datasets/file_pool.h"
#include "distributed/communicator/communicator.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/timeline.h"
#include "distributed/watchdog/backtraces.h"
#include "distributed/watchdog/channel.h"
#include "distributed/watchdog/hang.h"
#include "distributed/watchdog/watchdog.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr WatchLimits kLimits{.hang = 3, .init = 5};

WorkerView worker(int rank, const std::string& phase, double silent, std::optional<Waiting> waiting = {}) {
  WorkerView view{.rank = rank, .started = true};
  view.state = {.pid = 100 + rank, .host = "n1", .joined = true, .phase = phase, .silent = silent, .step = 12};
  view.state.waiting = std::move(waiting);
  if (view.state.waiting)
    view.state.calls[view.state.waiting->group] = {view.state.waiting->number, view.state.waiting->name};
  return view;
}

Waiting in(const std::string& name, std::uint64_t number, double seconds, std::uint64_t group = 1) {
  return {name, group, number, seconds};
}

void expect_words(const std::optional<HangReport>& verdict, const std::vector<int>& late,
                  const std::vector<std::string>& words) {
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->late, late);
  for (const std::string& word : words) EXPECT_NE(verdict->words.find(word), std::string::npos) << verdict->words;
  EXPECT_EQ(verdict->words.find('\n'), std::string::npos);
}

TEST(Timeline, KeepsCollectivesAndPhases) {
  const auto group = make_local_communicator()->split("part", 7);
  std::vector<double> values(3);
  {
    const Phase phase("forward");
    EXPECT_STREQ(Timeline::of_process().phase(), "forward");
    {
      const Phase inner("loader");
      EXPECT_STREQ(Timeline::of_process().phase(), "loader");
    }
    EXPECT_STREQ(Timeline::of_process().phase(), "forward");
    group->all_reduce(std::string(100, 'x'), values);
  }
  const auto events = Timeline::of_process().events();
  ASSERT_GE(events.size(), 3u);
  const TimelineEvent& call = events.back();
  EXPECT_EQ(call.name, "all_reduce " + std::string(55, 'x'));
  EXPECT_TRUE(call.collective);
  EXPECT_EQ(call.number, 1u);
  EXPECT_EQ(call.bytes, 24u);
  EXPECT_GE(call.end, call.begin);
  EXPECT_EQ(events[events.size() - 3].name, "forward");
  EXPECT_GE(events[events.size() - 3].end, call.end);
  EXPECT_FALSE(Timeline::of_process().inside());
}

TEST(Timeline, TellsTheCollectiveThatItIsIn) {
  CollectiveSpan span("all_reduce", "counts", 5, 37, 8);
  const auto inside = Timeline::of_process().inside();
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->name, "all_reduce counts");
  EXPECT_EQ(inside->number, 37u);
  EXPECT_EQ(inside->end, 0);
}

// One writes, another reads: no event is a mixture of two.
TEST(Timeline, ReadersSeeWholeEvents) {
  std::atomic<bool> stop{false};
  std::uint64_t seen = 0, torn = 0;
  std::thread reader([&] {
    while (!stop)
      for (const TimelineEvent& event : Timeline::of_process().events()) {
        if (event.group != 99) continue;
        ++seen;
        torn += event.name == fmt::format("torn {}", event.number) && event.bytes == 3 * event.number ? 0 : 1;
      }
  });
  for (std::uint64_t i = 0; i < 300'000; ++i) CollectiveSpan("torn", std::to_string(i), 99, i, 3 * i).done();
  stop = true;
  reader.join();
  EXPECT_GT(seen, 0u);
  EXPECT_EQ(torn, 0u);
}

TEST(Timeline, AChromeTraceIsJsonWithTimesInMicroseconds) {
  Timeline::of_process().start_trace();
  {
    const Phase phase("forward");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CollectiveSpan("all_reduce", "counts", 5, 37, 8).done();
  }
  const auto events = Timeline::of_process().stop_trace();
  ASSERT_EQ(events.size(), 2u);
  std::string lines = chrome_trace_lines(events, 3, "n1");
  lines.replace(lines.size() - 2, 2, "]");
  const auto json = nlohmann::json::parse("[" + lines);
  ASSERT_EQ(json.size(), 3u);
  EXPECT_EQ(json[0]["args"]["name"], "worker 3 on n1");
  EXPECT_EQ(json[1]["name"], "all_reduce counts");
  EXPECT_EQ(json[1]["args"]["call"], 37);
  EXPECT_EQ(json[2]["name"], "forward");
  EXPECT_EQ(json[2]["pid"], 3);
  EXPECT_GE(json[2]["dur"].get<double>(), 20'000);
  EXPECT_LT(json[2]["dur"].get<double>(), 20e6);
  EXPECT_TRUE(Timeline::of_process().stop_trace().empty());
}

TEST(Judge, NobodyIsLateWhileOneGetsOn) {
  // Rank 1 evaluates for an hour; what it does counts, and who waits for it is not late.
  EXPECT_FALSE(find_hang({worker(0, "evaluation", 3600, in("barrier x", 9, 3600)), worker(1, "evaluation", 2.9)}, 4000,
                         kLimits));
  EXPECT_FALSE(find_hang({worker(0, "forward", 2.9), worker(1, "loader", 2.9)}, 4000, kLimits));
  EXPECT_FALSE(find_hang({worker(0, "loader", 1e6)}, 4000, {.hang = 0, .init = 0}));
}

TEST(Judge, NamesTheOneThatTheOthersWaitFor) {
  const Waiting wait = in("all_reduce counts", 37, 3.1);
  expect_words(
      find_hang({worker(0, "step", 3.1, wait), worker(1, "loader", 3.2), worker(2, "step", 3.1, wait)}, 60, kLimits),
      {1},
      {"rank 1 of 3 (host n1, pid 101)", "all_reduce counts (call 37", "2 others have waited", "3.1 s", "in its loader",
       "step 12"});
  expect_words(find_hang({worker(0, "backward", 4)}, 60, kLimits), {0}, {"rank 0 of 1", "in compute (backward)"});
}

// As with NCCL, where a call only starts work on the device: nobody waits in one.
TEST(Judge, NamesTheOneThatIsBehind) {
  auto ahead = worker(0, "backward", 3.1), behind = worker(1, "step", 3.2);
  ahead.state.calls[7] = {41, "all_reduce encoder.gradients"};
  behind.state.calls[7] = {40, "all_reduce counts"};
  expect_words(
      find_hang({ahead, behind}, 60, kLimits), {1, 0},
      {"rank 1 of 2", "has not reached all_reduce encoder.gradients (call 41 of its group)", "Also late: rank 0"});
}

TEST(Judge, OneThatIsNotHeardIsLateWhereverItIs) {
  const Waiting wait = in("all_reduce counts", 37, 3.1);
  auto stopped = worker(1, "forward", 0);
  stopped.since_heard = 3.2;
  EXPECT_TRUE(find_hang({worker(0, "step", 3.1, wait), stopped}, 60, kLimits));
  stopped.process = 'T';
  expect_words(find_hang({worker(0, "step", 3.1, wait), stopped}, 60, kLimits), {1},
               {"stopped by a signal (state T)", "in compute (forward)"});
  stopped.state.waiting = wait;
  stopped.state.calls[1] = {37, "all_reduce counts"};
  stopped.process = 0;
  expect_words(
      find_hang({worker(0, "step", 3.1, wait), stopped}, 60, kLimits), {1},
      {"no report of it has arrived", "last report: in all_reduce counts", "makes no progress in all_reduce counts"});
  stopped.since_heard = 2;  // still young: the next round says more than "all are in it"
  EXPECT_FALSE(find_hang({worker(0, "step", 3.1, wait), stopped}, 60, kLimits));
  stopped.since_heard = 3600;
  stopped.ended = true;
  EXPECT_FALSE(find_hang({worker(0, "step", 2, wait), stopped}, 60, kLimits));
}

TEST(Judge, AllWaitInDifferentCalls) {
  auto other = worker(1, "step", 3.1, in("barrier end", 36, 3.1));
  expect_words(find_hang({worker(0, "step", 3.1, in("all_reduce counts", 37, 3.1)), other}, 60, kLimits), {1},
               {"rank 1", "it is missing in all_reduce counts", "in barrier end"});
  const Waiting same = in("all_reduce counts", 37, 3.1);
  expect_words(find_hang({worker(0, "step", 3.1, same), worker(1, "step", 3.2, same)}, 60, kLimits), {},
               {"all 2 watched workers are in all_reduce counts", "connection"});
  expect_words(find_hang({worker(0, "step", 3.1, same), WorkerView{.rank = 1}}, 60, kLimits), {1},
               {"rank 0 is in all_reduce counts", "rank 1 of 2, of which the watchdog has no report"});
}

TEST(Judge, DescribesAWorkerThatHasEnded) {
  auto lost = worker(1, "backward", 0);
  lost.process = 'X';
  const std::string words = describe_lost(lost, 3, false);
  for (const char* part : {"rank 1 of 3 (host n1, pid 101)", "ended unexpectedly in step 12", "in compute (backward)",
                           "killed by a signal, crashed, or ended with the error printed above"})
    EXPECT_NE(words.find(part), std::string::npos) << words;
  EXPECT_NE(describe_lost(lost, 3, true).find("for lack of memory"), std::string::npos);
  lost.process = 0;
  EXPECT_NE(describe_lost(lost, 3, false).find("has not connected again"), std::string::npos);
}

// A thousand workers, each alone in a call of its own: the longest that a judgement takes.
TEST(Judge, IsQuick) {
  std::vector<WorkerView> workers;
  for (int rank = 0; rank < 1024; ++rank) workers.push_back(worker(rank, "step", 3.1));
  for (WorkerView& each : workers) {
    const auto number = static_cast<std::uint64_t>(each.rank) + 1;
    each.state.waiting = in("barrier x", number, 3.1);
    each.state.calls[1] = {number, "barrier x"};
  }
  const double begin = Timeline::now();
  const auto verdict = find_hang(workers, 60, kLimits);
  EXPECT_LT(Timeline::now() - begin, 1);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->late.size(), 1023u);
  EXPECT_EQ(verdict->late.front(), 0);
}

TEST(Judge, TheStart) {
  auto joining = worker(0, "joining", 1);
  joining.state.joined = false;
  joining.state.step = 0;
  WorkerView absent{.rank = 1};
  EXPECT_FALSE(find_hang({joining, absent}, 4.9, kLimits));
  EXPECT_FALSE(find_hang({joining, absent}, 1e6, {.hang = 3, .init = 0}));
  expect_words(find_hang({joining, absent}, 5.1, kLimits, "n1"), {1},
               {"rank 1 of 2 has not started on host n1", "5.1 s"});
  auto second = joining;
  second.rank = 1;
  expect_words(find_hang({joining, second}, 5.1, kLimits), {0, 1}, {"all 2 workers have started", "firewall"});
  second.state.phase = "start-up";
  expect_words(find_hang({joining, second}, 5.1, kLimits), {1}, {"keeps the others waiting in MPI_Init"});
}

TEST(Backtraces, ShowWhereAnotherThreadIs) {
  prepare_backtraces();
  std::atomic<bool> ready{false}, stop{false};
  std::thread sleeper([&] {
    ready = true;
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  while (!ready) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const std::string text = backtraces();
  stop = true;
  sleeper.join();
  EXPECT_NE(text.find("nanosleep"), std::string::npos) << text;
  EXPECT_EQ(text.find(fmt::format("thread {} ", gettid())), std::string::npos) << "the caller's own";
}

TEST(Backtraces, AThreadThatBlocksTheSignalIsToldFromProc) {
  prepare_backtraces();
  std::atomic<bool> ready{false}, stop{false};
  std::thread deaf([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    ready = true;
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  while (!ready) std::this_thread::yield();
  const std::string text = backtraces();
  stop = true;
  deaf.join();
  EXPECT_NE(text.find("does not answer (state S"), std::string::npos) << text;
}

TEST(ProcessState, IsThatOfProc) {
  EXPECT_EQ(process_state(getpid()), 'R');
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  kill(child, SIGSTOP);
  int status = 0;
  waitpid(child, &status, WUNTRACED);
  EXPECT_EQ(process_state(child), 'T');
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  EXPECT_EQ(process_state(child), 'X');
}

TEST(Progress, CollectivesAndPhasesAreProgress) {
  const auto before = progress_count.load();
  { const Phase phase("forward"); }
  EXPECT_EQ(progress_count.load(), before + 2);
  make_local_communicator()->barrier("here");
  EXPECT_EQ(progress_count.load(), before + 4);
}

// A checkpoint on a slow disk, or a data set of many shards, is no hang.
TEST(Progress, SyncsAndOpenedShardsAreProgress) {
  const fs::path file = fs::temp_directory_path() / fmt::format("polyhead-progress-{}", getpid());
  std::ofstream(file) << "x";
  auto before = progress_count.load();
  sync_path(file);
  EXPECT_GT(progress_count.load(), before);
  before = progress_count.load();
  { const OpenFile opened(file, false); }
  EXPECT_GT(progress_count.load(), before);
  fs::remove(file);
}

TEST(Watchdog, ThatCannotBeReachedSaysSoOnceTheRunHasBegun) {
  std::atomic<int> warnings{0};
  WatchdogOptions options;
  options.size = 2;
  options.run_dir = "/proc/no/folder";
  options.job = "job";
  options.limits = {.hang = 0.5, .init = 0};
  options.on_warning = [&](const std::string& words) {
    EXPECT_NE(words.find("hangs of other workers will not be noticed"), std::string::npos) << words;
    ++warnings;
  };
  Watchdog watchdog(options);
  watchdog.joined();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(warnings, 0) << "a folder that cannot be used ends the run with words of its own";
  Timeline::of_process().set_step(1);
  for (int tries = 0; tries < 500 && warnings == 0; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  Timeline::of_process().set_step(0);
  EXPECT_EQ(warnings, 1);
}

}  // namespace
}  // namespace polyhead
