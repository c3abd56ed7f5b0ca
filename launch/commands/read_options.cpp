// Code shared by the commands that read a finished run, evaluate and predict, and their options.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "core/base/error.h"
#include "core/kinds/registry.h"
#include "core/model/device.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/run_options.h"
#include "launch/run_status.h"
#include "launch/say.h"
#include "launch/threads.h"

namespace polyhead {

std::span<const Option> evaluate_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "run-dir", path, "", "The run's folder."},
      {"", "checkpoint", text, "latest",
       "The checkpoint to use: latest, best (by run.best), or the step of an existing checkpoint."},
      {"", "weights", choice, "last",
       "Whether to use the weights after the last update (last) or their moving average (average, see optimizer.ema).",
       false, "last|average"},
      {"", "data", path, "", "The data set's folder. If not given, the data set that the run was trained on is used."},
      {"", "split", choice, "test", "The split to evaluate.", false, "train|valid|test"},
      {"", "tasks", list, "",
       "Names of the tasks to evaluate, separated by commas. If empty, all tasks of the run are evaluated."},
      {"", "samples", integer, "0",
       "Maximum number of samples per task. They are a fixed choice from the split, and a larger choice contains every "
       "smaller one, such as that of run.eval_samples on the valid split. 0 uses all samples.",
       false, ">=0"},
      {"", "json", flag, "", "Print one JSON object instead of a table."},
      {"", "beam", integer, "1", "Beam size of the search (translation only). 1 searches greedily.", false, ">=1"},
      {"", "length-penalty", number, "0.6",
       "Length penalty alpha of beam search: log-probabilities are divided by ((5 + length) / 6)^alpha. 0 disables it.",
       false, ">=0", "", "beam!=1"},
      {"", "threads", integer, "0",
       "Number of compute threads. 0 uses OMP_NUM_THREADS if it is set, otherwise as many of the cores that this "
       "process may use as a short measurement finds fastest.",
       false, ">=0"},
      {"", "device", choice, "auto", "The device to compute on. auto uses a GPU if there is one.", false,
       "auto|cpu|cuda"},
  };
  return table;
}

std::span<const Option> predict_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "run-dir", path, "", "The run's folder."},
      {"", "checkpoint", text, "latest",
       "The checkpoint to use: latest, best (by run.best), or the step of an existing checkpoint."},
      {"", "weights", choice, "last",
       "Whether to use the weights after the last update (last) or their moving average (average, see optimizer.ema).",
       false, "last|average"},
      {"", "task", text, "", "Name of the task to predict."},
      {"", "in", path, "", "The JSONL file to read. If not given, standard input is read."},
      {"", "out", path, "",
       "The JSONL file to write. It may be the file that is read, because a temporary file is written and renamed at "
       "the end. If not given, standard output is used."},
      {"", "columns", list, "",
       "Keys that the input uses for the parts of a sample, such as text:sentence, second:sentence2. If not given, it "
       "is "
       "text, second, words or features, or a common name as in import if exactly one fits."},
      {"", "attention", flag, "",
       "Add \"attention\" to each line: its words (pieces), and the weight of each word for every task."},
      {"", "batch", integer, "32",
       "Maximum number of lines per batch. A smaller batch is predicted when the input ends, or when it is a pipe or a "
       "terminal and no further line has arrived for 10 ms. Each batch is written as soon as it is done.",
       false, ">=1"},
      {"", "max-length", integer, "",
       "Maximum input length in tokens or vectors; longer inputs are truncated. If not given, it is the length at "
       "which the run's data were truncated on import.",
       false, ">=4"},
      {"", "beam", integer, "1", "Beam size of the search (translation only). 1 searches greedily.", false, ">=1"},
      {"", "length-penalty", number, "0.6",
       "Length penalty alpha of beam search: log-probabilities are divided by ((5 + length) / 6)^alpha. 0 disables it.",
       false, ">=0", "", "beam!=1"},
      {"", "threads", integer, "0",
       "Number of compute threads. 0 uses OMP_NUM_THREADS if it is set, otherwise as many of the cores that this "
       "process may use as a short measurement finds fastest.",
       false, ">=0"},
      {"", "device", choice, "auto", "The device to compute on. auto uses a GPU if there is one.", false,
       "auto|cpu|cuda"},
  };
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
    say("polyhead {}: a checkpoint is passed over: {}\n", command, warning);
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
  return {.beam = config.integer("beam"), .length_penalty = config.number("length-penalty")};
}

}  // namespace polyhead
