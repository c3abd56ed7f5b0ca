// Code shared by the commands that read a finished run, evaluate and predict, and their options.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/base/error.h"
#include "core/kinds/registry.h"
#include "core/model/device.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/host.h"
#include "launch/run_status.h"
#include "launch/say.h"
#include "launch/threads.h"

namespace polyhead {

namespace {

// Returns the options of a command that reads a run: those that choose its weights, the command's own, and those of the
// search and the machine.
std::vector<Option> with_shared(std::vector<Option> own) {
  using enum OptionType;
  std::vector<Option> table = weights_options();
  std::ranges::move(own, std::back_inserter(table));
  SearchOptions search;
  add_rows(table, "", fields(search));
  std::vector<Option> machine = {
      {.key = "threads",
       .type = integer,
       .value = "0",
       .help = "Number of compute threads. 0 uses OMP_NUM_THREADS if it is set, otherwise as many of the cores that "
               "this process may use as a short measurement finds fastest.",
       .allowed = ">=0"},
      {.key = "device",
       .type = choice,
       .value = "auto",
       .help = "The device to compute on. auto uses a GPU if there is one.",
       .allowed = "auto|cpu|cuda"},
  };
  std::ranges::move(machine, std::back_inserter(table));
  return table;
}

}  // namespace

std::vector<Option> weights_options() {
  using enum OptionType;
  return {
      {.key = "run-dir", .type = path, .help = "The run's folder."},
      {.key = "checkpoint",
       .value = "latest",
       .help = "The checkpoint to use: latest, best (by run.best; the first of several values), best:TASK or "
               "best:TASK:METRIC (by that value of run.best, if it has several), or the step of an existing "
               "checkpoint."},
      {.key = "weights",
       .type = choice,
       .value = "last",
       .help = "Whether to use the weights after the last update (last) or their moving average (average, see "
               "optimizer.ema).",
       .allowed = "last|average"},
  };
}

std::span<const Option> evaluate_options() {
  using enum OptionType;
  static const std::vector<Option> table = with_shared({
      {.key = "data",
       .type = path,
       .help = "The data set's folder. If not given, the data set that the run was trained on is used."},
      {.key = "split",
       .type = choice,
       .value = "test",
       .help = "The split to evaluate.",
       .allowed = "train|valid|test"},
      {.key = "tasks",
       .type = list,
       .help = "Names of the tasks to evaluate, separated by commas. If empty, all tasks of the run are evaluated."},
      {.key = "samples",
       .type = integer,
       .value = "0",
       .help = "Maximum number of samples per task. They are a fixed choice from the split, and a larger choice "
               "contains every smaller one, such as that of run.eval_samples on the valid split. 0 uses all samples.",
       .allowed = ">=0"},
      {.key = "json", .type = flag, .help = "Print one JSON object instead of a table."},
  });
  return table;
}

std::span<const Option> predict_options() {
  using enum OptionType;
  static const std::vector<Option> table = with_shared({
      {.key = "task", .help = "Name of the task to predict."},
      {.key = "in", .type = path, .help = "The JSONL file to read. If not given, standard input is read."},
      {.key = "out",
       .type = path,
       .help = "The JSONL file to write. It may be the file that is read, because a temporary file is written and "
               "renamed at the end. If not given, standard output is used."},
      {.key = "columns",
       .type = list,
       .help = "Keys that the input uses for the parts of a sample, such as text:sentence, second:sentence2. If not "
               "given, it is text, second, words or features, or a common name as in import if exactly one fits."},
      {.key = "attention",
       .type = flag,
       .help = "Add \"attention\" to each line: its words (pieces), and the weight of each word for every task."},
      {.key = "batch",
       .type = integer,
       .value = "32",
       .help =
           "Maximum number of lines per batch. A smaller batch is predicted when the input ends, or when it is a pipe "
           "or a terminal and no further line has arrived for 10 ms. Each batch is written as soon as it is done.",
       .allowed = ">=1"},
      {.key = "max-length",
       .type = integer,
       .help = "Maximum input length in tokens or vectors; longer inputs are truncated. If not given, it is the length "
               "at which the run's data were truncated on import.",
       .allowed = ">=4"},
  });
  return table;
}

TrainedModel load_run(std::string_view command, const Config& config, const std::vector<std::string>& tasks,
                      Communicator& world) {
  require_effects(config, {});
  const std::string device = resolve_device(config.text("device"));
  const ThreadChoice threads =
      choose_threads(static_cast<int>(config.integer("threads")), cpus_from_affinity(world), world.size(), device);
  if (!threads.reason.empty()) say("polyhead {}: {}\n", command, threads.reason);
  TrainedModel trained =
      load_trained(config.path("run-dir"), {config.text("checkpoint"), config.text("weights") == "average"}, tasks,
                   device, threads.threads);
  if (const std::string note = unfinished(config.path("run-dir")); !note.empty())
    say("polyhead {}: note: {}\n", command, note);
  for (const std::string& warning : trained.warnings)
    say("polyhead {}: a checkpoint is skipped: {}\n", command, warning);
  const auto generates = [&](const auto& head) { return task_kind(head.second->spec().kind).traits().generates; };
  if (config.integer("beam") > 1 && std::ranges::none_of(trained.model->heads(), generates))
    throw Error(Exit::usage, fmt::format("--beam {}: it has no effect without a task of kind translation; leave it out",
                                         config.integer("beam")));
  return trained;
}

void check_not_input(const std::filesystem::path& out, std::string_view out_option, const std::filesystem::path& in,
                     std::string_view in_option) {
  std::error_code code;
  if (!std::filesystem::equivalent(out, in, code)) return;
  throw Error(Exit::usage, fmt::format("{} {} is the file that {} reads, which would be lost; write to another file",
                                       out_option, out.string(), in_option));
}

SearchOptions search_options(const Config& config) {
  SearchOptions search;
  read_into(search, config, "");
  return search;
}

}  // namespace polyhead
