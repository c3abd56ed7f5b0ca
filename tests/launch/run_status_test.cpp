// status.json, and the lock that shows whether a run is running or was killed.
#include "launch/run_status.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/files.h"
#include "core/base/host.h"
#include "launch/launcher.h"
#include "launch/run_lock.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::expect_contains;
using testing::TemporaryFolder;

TEST(Status, WrittenAndReadBack) {
  const TemporaryFolder folder;
  EXPECT_FALSE(read_status(folder.path()));
  write_status(folder.path(), {.state = "failed",
                               .exit_code = 65,
                               .step = 9,
                               .last_checkpoint = "checkpoints/9",
                               .parameter_hash = "ab",
                               .error = "bad\xff byte"});
  const Status status = read_status(folder.path()).value();
  EXPECT_EQ(status.state, "failed");
  EXPECT_EQ(status.exit_code, 65);
  EXPECT_EQ(status.step, 9);
  EXPECT_EQ(status.last_checkpoint, "checkpoints/9");
  EXPECT_EQ(status.parameter_hash, "ab");
  expect_contains(status.error, "bad");
  folder.write("status.json", "{\"state\": 5}");
  expect_contains(error_of(Exit::data, [&] { read_status(folder.path()); }), "status.json is not a run's status");
}

// A full disk is stood for by a limit on the size of every file that is written.
TEST(Status, OnAFullDiskItIsWrittenOverTheOldOne) {
  const TemporaryFolder folder;
  write_status(folder.path(), {.state = "running", .step = 7, .last_checkpoint = "checkpoints/step-000007"});
  fs::create_directory(folder.path() / "status.json.tmp");  // the second file cannot be made
  note_failure(folder.path(), 73, "no space left" + std::string(100'000, '!'));
  const Status status = read_status(folder.path()).value();
  EXPECT_EQ(status.state, "failed");
  EXPECT_EQ(status.exit_code, 73);
  EXPECT_EQ(status.step, 7);
  EXPECT_LT(fs::file_size(folder.path() / "status.json"), 4096U);
}

TEST(Status, ADamagedOneIsReplacedByAFailure) {
  const TemporaryFolder folder;
  folder.write("status.json", "{\"sta");
  note_failure(folder.path(), 76, "diverged");
  EXPECT_EQ(read_status(folder.path())->exit_code, 76);
}

// -> a process of this host that is no more
ProcessId dead_process() {
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  ProcessId dead = own_process();
  dead.pid = child;
  std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
  std::string field;
  for (int i = 0; i < 22; ++i) stat >> field;
  dead.mark = dead.mark.substr(0, dead.mark.rfind('/') + 1) + field;
  EXPECT_EQ(life_of(dead), Life::running);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return dead;
}

TEST(ProcessId, TellsWhetherAProcessStillRuns) {
  ProcessId own = own_process();
  EXPECT_EQ(life_of(own), Life::running);
  EXPECT_EQ(own.host, host_name());
  EXPECT_EQ(own.start.size(), 20U);
  EXPECT_EQ(life_of(dead_process()), Life::gone);
  own.mark += "1";  // another process of that number
  EXPECT_EQ(life_of(own), Life::gone);
  own.host = "node7";
  EXPECT_EQ(life_of(own), Life::unknown);
  EXPECT_EQ(life_of({}), Life::unknown);
}

TEST(Status, ARunThatWasKilledIsToldFromOneThatRuns) {
  const TemporaryFolder folder;
  EXPECT_EQ(unfinished(folder.path()), "");
  Status status{.step = 4, .last_checkpoint = "checkpoints/step-000004", .process = own_process()};
  write_status(folder.path(), status);
  EXPECT_EQ(unfinished(folder.path()), "");
  status.process = dead_process();
  write_status(folder.path(), status);
  expect_contains(unfinished(folder.path()), "was killed, or its host failed");
  expect_contains(unfinished(folder.path()), "Its last checkpoint is checkpoints/step-000004 (step 4)");
  status.process.host = "node7";
  write_status(folder.path(), status);
  expect_contains(unfinished(folder.path()), "on another host, and the folder has no run.lock");
  {
    const RunLock lock(folder.path());
    EXPECT_EQ(unfinished(folder.path()), "");  // its sign of life is recent
  }
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  utimensat(AT_FDCWD, (folder.path() / "run.lock").c_str(), old, 0);
  expect_contains(unfinished(folder.path()), "has given no sign of life for");
  status.state = "done";
  write_status(folder.path(), status);
  EXPECT_EQ(unfinished(folder.path()), "");
}

// What another start would have written into the lock file.
void write_lock(const fs::path& run_dir, const ProcessId& process, const std::string& job = "", int restart = 0) {
  std::ofstream(run_dir / "run.lock") << nlohmann::json({{"host", process.host},
                                                         {"pid", process.pid},
                                                         {"start", process.start},
                                                         {"process", process.mark},
                                                         {"token", "another"},
                                                         {"job", job},
                                                         {"restart", restart},
                                                         {"released", false}})
                                             .dump();
}

RunLockOptions quick(std::string& warnings) {
  return {.heartbeat = 0.1, .stale = 1, .warn = [&warnings](const std::string& text) { warnings += text + "\n"; }};
}

TEST(RunLock, ASecondTrainingOfThisHostIsRefusedWithTheFirstOne) {
  const TemporaryFolder folder;
  {
    const RunLock lock(folder.path());
    lock.check();
    const std::string words = error_of(Exit::config, [&] { RunLock(folder.path()); });
    expect_contains(words, "another training is running in the folder");
    expect_contains(words, "process " + std::to_string(getpid()) + " on " + host_name());
  }
  std::string warnings;
  const RunLock again(folder.path(), quick(warnings));
  EXPECT_EQ(warnings, "");  // released
}

TEST(RunLock, AProcessOfThisHostThatIsGoneLosesTheLock) {
  const TemporaryFolder folder;
  std::string warnings;
  write_lock(folder.path(), dead_process());
  const RunLock lock(folder.path(), quick(warnings));
  expect_contains(warnings, "did not end properly");
  lock.check();
  // Without locks of the file system, a living owner is refused by what the file says.
  const TemporaryFolder other;
  write_lock(other.path(), own_process());
  expect_contains(error_of(Exit::config, [&] { RunLock(other.path(), quick(warnings)); }), "which is running");
}

ProcessId elsewhere() {
  ProcessId process = own_process();
  process.host = "node7";
  return process;
}

TEST(RunLock, AnotherHostThatGivesSignsOfLifeKeepsIt) {
  const TemporaryFolder folder;
  std::string warnings;
  write_lock(folder.path(), elsewhere());
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    utimensat(AT_FDCWD, (folder.path() / "run.lock").c_str(), nullptr, 0);
  });
  const std::string words = error_of(Exit::config, [&] { RunLock(folder.path(), quick(warnings)); });
  other.join();
  expect_contains(words, "on node7");
  expect_contains(words, "has just given a sign of life");
  expect_contains(warnings, "waiting up to 1 s");
}

TEST(RunLock, AnotherHostWithoutASignOfLifeLosesIt) {
  const TemporaryFolder folder;
  std::string warnings;
  write_lock(folder.path(), elsewhere());
  const RunLock lock(folder.path(), quick(warnings));
  expect_contains(warnings, "no sign of life for 1 s");
  lock.check();
}

TEST(RunLock, AJobThatItsSchedulerRestartedTakesItAtOnce) {
  const TemporaryFolder folder;
  std::string warnings;
  write_lock(folder.path(), elsewhere(), "4711", 1);
  RunLockOptions options = quick(warnings);
  options.stale = 1000;
  options.job = "4711";
  options.restart = 2;
  RunLock(folder.path(), options).check();
  EXPECT_EQ(warnings, "");
}

TEST(RunLock, WhoLostItPublishesNothing) {
  const TemporaryFolder folder;
  std::string warnings;
  const RunLock lock(folder.path(), quick(warnings));
  lock.check_lately();
  write_lock(folder.path(), elsewhere());
  const std::string words = error_of(Exit::cannot_write, [&] { lock.check(); });
  expect_contains(words, "now belongs to another training (process");
  expect_contains(words, "on node7");
  EXPECT_FALSE(lock.held());
}

TEST(RunLock, ItsHeartbeatSeesThatItIsLost) {
  const TemporaryFolder folder;
  std::string warnings;
  const RunLock lock(folder.path(), quick(warnings));
  write_lock(folder.path(), elsewhere());
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  error_of(Exit::cannot_write, [&] { lock.check_lately(); });
}

TEST(RunLock, RefreshesItsSignOfLife) {
  const TemporaryFolder folder;
  std::string warnings;
  const RunLock lock(folder.path(), quick(warnings));
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  utimensat(AT_FDCWD, (folder.path() / "run.lock").c_str(), old, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(seconds_since_heartbeat(folder.path()), 2);
  fs::remove(folder.path() / "run.lock");
  lock.check();  // the folder was deleted, but is nobody else's
}

}  // namespace
}  // namespace polyhead
