// The options of a training run: those that only launch/ reads, and the table of all.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "launch/option_table.h"

namespace polyhead {

// Options that launch/ interprets before it fills in TrainOptions.
struct LaunchOptions {
  std::string data_hash;
  std::vector<std::string> tasks;
  std::int64_t task_patience = 0;
  bool never_resume = false;
  double hang_timeout = 600;
  std::string trace;
  int threads = 0;
  bool reproducible_world = false;
  std::int64_t micro_batch = 16;
  std::string device = "auto";
  std::string phases;
};

// [run], unless a section is given
inline std::vector<Field> fields(LaunchOptions& options) {
  return {
      {.name = "data_hash",
       .member = &options.data_hash,
       .help = "Hash (xxh3-64) of the tokenizer and of the tasks' train shards as listed in dataset.json. It is "
               "computed at the start of the run and checked on resuming.",
       .after = "run_dir"},
      {.name = "tasks",
       .member = &options.tasks,
       .help = "Names of the tasks to train, separated by commas. If empty, all tasks of the data set are trained.",
       .after = "data_hash"},
      {.name = "task_patience",
       .member = &options.task_patience,
       .help = "Early stopping of each task: number of evaluations without an improvement of task.NAME.metric after "
               "which the task is finished. Its head is then frozen and its data leave the mixture. Training ends when "
               "all tasks are finished. 0 disables it.",
       .range = ">=0",
       .identity = false,
       .needs = "run.eval_every!=0",
       .after = "patience"},
      {.name = "resume",
       .member = NamedMember(&options.never_resume, "auto", "never"),
       .help = "Whether a folder that already holds a run is resumed (auto) or rejected (never).",
       .identity = false,
       .after = "stop_at"},
      {.name = "hang_timeout",
       .member = &options.hang_timeout,
       .help = "Number of seconds without progress or a sign of life after which a worker counts as hung. The run then "
               "names the worker and ends with exit code 71. 0 disables it.",
       .range = ">=0",
       .identity = false,
       .after = "resume"},
      {.name = "trace",
       .member = &options.trace,
       .help = "Steps to trace, written as in \"steps 10-20\". What each worker does in these steps is saved to trace/ "
               "in the run's folder as a Chrome trace, which Perfetto can open. If empty, nothing is traced.",
       .identity = false,
       .after = "init_timeout"},
      {.name = "threads",
       .member = &options.threads,
       .help = "Number of compute threads per worker. 0 uses the first of these that applies: 1 with run.reproducible "
               "= world; OMP_NUM_THREADS; the number that the run began with; for one worker, the number that a short "
               "measurement finds fastest; for several workers, an equal share of the cores.",
       .range = ">=0",
       .identity = false,
       .after = "trace"},
      {.name = "reproducible",
       .member = NamedMember(&options.reproducible_world, "run", "world"),
       .help = "Whether results are bitwise equal in every run on the same number of workers (run), or on any number "
               "of workers and any placement (world). world is slower and requires CPUs of one kind and the same "
               "number of threads on every worker.",
       .after = "accumulate"},
      {.name = "micro_batch",
       .member = &options.micro_batch,
       .help = "Number of consecutive samples of a task that are computed together.",
       .range = ">=1",
       .needs = "run.reproducible=world",
       .after = "reproducible"},
      {.name = "device",
       .member = NamedMember(&options.device, {"auto", "cpu", "cuda"}),
       .help = "The device to compute on. auto uses a GPU if there is one.",
       .identity = false,
       .after = "dtype"},
      {.name = "phases",
       .member = &options.phases,
       .help = "Mixtures that replace the first one at given steps: STEP KIND, separated by commas. temperature is "
               "followed by a number, and explicit by TASK=RATE for each task; tasks that are not named take no part. "
               "Example: 2000 uniform, 4000 temperature 5, 6000 explicit section=2 en-it=1.",
       .section = "mixture"},
  };
}

// The same for a task.
struct LaunchTaskOptions {
  std::optional<double> rate;
};

// [task.NAME]
inline std::vector<Field> fields(LaunchTaskOptions& options) {
  return {
      {.name = "rate",
       .member = &options.rate,
       .help = "Relative sampling rate of the task. 0 leaves the task out.",
       .range = ">=0",
       .needs = "mixture.kind=explicit",
       .after = "workers"},
  };
}

// The table of all options of a training run. Their sections are those of a configuration file.
std::span<const Option> train_options();

}  // namespace polyhead
