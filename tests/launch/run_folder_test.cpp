// The run folder: which runs are resumed or refused, and the files that the observer writes.
#include "launch/run_folder.h"

#include "core/base/files.h"
#include "launch/run_lock.h"
#include "launch/run_observer.h"
#include "launch/run_status.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

using testing::error_of;
using testing::expect_contains;
using testing::TemporaryFolder;

Config config_for(const std::filesystem::path& run_dir, std::vector<std::string> more = {}) {
  more.insert(more.end(), {"--run-dir", run_dir.string()});
  return parse_options("train", train_options(), more);
}

TEST(RunFolder, FreshWhenMissingOrEmpty) {
  const TemporaryFolder folder;
  EXPECT_EQ(check_run_folder(config_for(folder.path() / "new")), FolderState::fresh);
  EXPECT_EQ(check_run_folder(config_for(folder.path())), FolderState::fresh);
  EXPECT_EQ(check_run_folder(config_for(folder.path(), {"--run.resume", "never"})), FolderState::fresh);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "new"));
}

// As a start that died between writing config.ini.tmp and renaming it.
TEST(RunFolder, FreshWithNothingButTemporaryFilesOfItsOwn) {
  const TemporaryFolder folder;
  for (const char* name : {"config.ini.tmp", "status.json.tmp", "status.json", ".watchdog-1", ".polyhead-shared-1"})
    folder.write(name, "");
  std::filesystem::create_directory(folder.path() / "logs");
  EXPECT_EQ(check_run_folder(config_for(folder.path())), FolderState::fresh);
  begin_run_folder(config_for(folder.path()));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "config.ini.tmp"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / ".polyhead-shared-1"));
  EXPECT_EQ(check_run_folder(config_for(folder.path())), FolderState::holds_run);
}

TEST(RunFolder, TemporaryFilesOfOthersAreNotFresh) {
  const TemporaryFolder folder;
  folder.write("config.ini.tmp", "");
  folder.write("thesis.tmp", "");
  expect_contains(error_of(Exit::config, [&] { check_run_folder(config_for(folder.path())); }), "thesis.tmp");
}

TEST(RunFolder, GoesOnWithTheSameConfiguration) {
  const TemporaryFolder folder;
  const auto run = folder.path() / "a" / "run";
  begin_run_folder(config_for(run, {"--run.stop_at", "3"}));
  EXPECT_EQ(check_run_folder(config_for(run, {"--run.threads", "2", "--run.eval_every", "5"})), FolderState::holds_run);
  EXPECT_EQ(read_run_config(run).integer("run.stop_at"), 3);
}

TEST(RunFolder, AMovedRunFolderGoesOn) {
  const TemporaryFolder folder;
  begin_run_folder(config_for(folder.path() / "a"));
  std::filesystem::rename(folder.path() / "a", folder.path() / "b");
  EXPECT_EQ(check_run_folder(config_for(folder.path() / "b")), FolderState::holds_run);
}

TEST(RunFolder, AnotherConfigurationIsRefusedWithTheDifferingKeys) {
  const TemporaryFolder folder;
  begin_run_folder(config_for(folder.path() / "run", {"--run.seed", "1"}));
  const std::string message = error_of(Exit::config, [&] {
    check_run_folder(config_for(folder.path() / "run", {"--run.seed", "2", "--encoder.layers", "9"}));
  });
  expect_contains(message, "run.seed: 1 there, 2 here; encoder.layers: 4 there, 9 here");
  expect_contains(message, "another folder with --run-dir");
}

TEST(RunFolder, NeverRefusesARun) {
  const TemporaryFolder folder;
  begin_run_folder(config_for(folder.path() / "run"));
  expect_contains(error_of(Exit::config,
                           [&] {
                             check_run_folder(config_for(folder.path() / "run", {"--run.resume", "never"}));
                           }),
                  "resume the run with --run.resume auto");
}

TEST(RunFolder, AFolderThatIsNoRunIsRefused) {
  const TemporaryFolder folder;
  const auto file = folder.write("thesis.txt", "x");
  expect_contains(error_of(Exit::config, [&] { check_run_folder(config_for(folder.path())); }),
                  "holds no run (it has no config.ini, but thesis.txt)");
  expect_contains(error_of(Exit::config, [&] { check_run_folder(config_for(file)); }), "is a file");
  expect_contains(error_of(Exit::config, [&] { read_run_config(folder.path()); }), "holds no run");
}

TEST(RunFolder, ABrokenConfigNamesItsLine) {
  const TemporaryFolder folder;
  folder.write("config.ini", "[run]\nnonsense\n");
  expect_contains(error_of(Exit::config, [&] { check_run_folder(config_for(folder.path())); }), "config.ini:2:");
}

TEST(RunFolder, CannotWriteIsItsOwnError) {
  const TemporaryFolder folder;
  const auto file = folder.write("file", "x");
  error_of(Exit::cannot_write, [&] { begin_run_folder(config_for(file / "run")); });
  error_of(Exit::cannot_write, [&] { write_status(file, {}); });
  error_of(Exit::cannot_write, [&] { RunLock(file / "run"); });
}

TEST(Status, PreemptedKeepsStepAndCheckpoint) {
  const TemporaryFolder folder;
  note_preempted(folder.path());
  EXPECT_EQ(read_status(folder.path())->state, "preempted");
  EXPECT_EQ(read_status(folder.path())->exit_code, 75);
  write_status(folder.path(), {.state = "failed", .exit_code = 70, .step = 9, .last_checkpoint = "c/9", .error = "e"});
  note_preempted(folder.path());
  const Status status = read_status(folder.path()).value();
  EXPECT_EQ(status.state, "preempted");
  EXPECT_EQ(status.step, 9);
  EXPECT_EQ(status.last_checkpoint, "c/9");
  EXPECT_EQ(status.error, "");
}

// From a start over a stop to the end, as the trainer would report it.
TEST(RunObserver, KeepsStatusAndMetrics) {
  const TemporaryFolder folder;
  std::FILE* stream = std::fopen((folder.path() / "said").c_str(), "w+");
  {
    RunObserver observer(folder.path(), 2, stream);
    observer.on_start({.first_step = 1,
                       .steps = 3,
                       .workers = 2,
                       .encoder_parameters = 1234567,
                       .head_parameters = {{"a", 10}, {"b", 5}},
                       .placement = "worker 0: a",
                       .mixture = "mix"});
    EXPECT_EQ(read_status(folder.path())->state, "running");
    Observer::Step step;
    step.loss = {{"a", 1.5}};
    for (step.step = 1; step.step <= 2; ++step.step) observer.on_step(step);
    observer.on_warning("slow disk");
    observer.on_eval(2, "valid", "a", {{"accuracy", 0.5}});
    observer.on_attention(2, "valid", {.all = {{"entropy", 0.5}}, .tasks = {{"a", {{"share", 0.25}}}}, .dead = {"b"}});
    observer.on_epochs(2, {{"a", 1.25}, {"b", 0.5}});
    observer.on_checkpoint(2, folder.path() / "checkpoints" / "step-2", 255);
    EXPECT_EQ(read_status(folder.path())->last_checkpoint, "checkpoints/step-2");
    EXPECT_EQ(observer.finish(
                  {.ending = Ending::stopped, .step = 2, .parameter_hash = 255, .epochs = {{"a", 1.25}, {"b", 0.5}}}),
              0);
    expect_contains(
        read_file(folder.path() / "metrics.jsonl"),
        R"({"kind":"attention","step":2,"split":"valid","all":{"entropy":0.5},"dead":["b"],"tasks":{"a":{"share":0.25}},)");
    expect_contains(read_file(folder.path() / "metrics.jsonl"),
                    R"({"kind":"epochs","step":2,"epochs":{"a":1.25,"b":0.5},)");
    EXPECT_EQ(read_status(folder.path())->epochs, (std::map<std::string, double>{{"a", 1.25}, {"b", 0.5}}));
  }
  EXPECT_EQ(read_status(folder.path())->state, "stopped");
  EXPECT_EQ(read_status(folder.path())->parameter_hash, "00000000000000ff");
  {
    RunObserver observer(folder.path(), 3, stream);
    observer.on_start({.first_step = 2,
                       .steps = 3,
                       .workers = 1,
                       .encoder_parameters = 1,
                       .head_parameters = {},
                       .placement = "",
                       .mixture = ""});
    EXPECT_EQ(read_status(folder.path())->last_checkpoint, "checkpoints/step-2");
    Observer::Step step;
    step.step = 2;
    step.skipped = true;
    observer.on_step(step);
    EXPECT_EQ(observer.finish({.ending = Ending::preempted, .step = 2, .parameter_hash = 1}), 75);
    EXPECT_EQ(read_status(folder.path())->exit_code, 75);
    EXPECT_EQ(observer.finish({.ending = Ending::done, .step = 3, .parameter_hash = 1}), 0);
    EXPECT_EQ(read_status(folder.path())->state, "done");
    note_failure(folder.path(), 76, "diverged");
    EXPECT_EQ(read_status(folder.path())->state, "failed");
    EXPECT_EQ(read_status(folder.path())->error, "diverged");
  }
  std::fclose(stream);
  const std::string said = read_file(folder.path() / "said"), metrics = read_file(folder.path() / "metrics.jsonl");
  for (const char* part : {"2 workers, 2 tasks; encoder 1,234,567 parameters, heads 15", "worker 0: a", "mix",
                           "step 2/2", "warning: slow disk\n", "epochs: a 1.25, b 0.50\n",
                           "task attention on valid after step 2:\n", "\na                      0.2500\n",
                           "dead tasks: b\n", "valid a:  accuracy 0.5", "stopped as run.stop_at says after step 2",
                           "resuming after step 1", "not finite", "saved after step 2", "done after step 3"})
    expect_contains(said, part);
  EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 2);  // step 1, and step 2 of the second start
}

}  // namespace
}  // namespace polyhead
