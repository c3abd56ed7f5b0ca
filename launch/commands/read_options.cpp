// The options of the commands that read a finished run: evaluate and predict.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "core/base/error.h"
#include "core/model/device.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/run_options.h"
#include "launch/run_status.h"

namespace polyhead {

std::span<const Option> evaluate_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "run-dir", path, "", "The run's folder."},
      {"", "checkpoint", text, "latest",
       "Which checkpoint: latest, best (of run.best), or the step of one that is there."},
      {"", "weights", choice, "last",
       "The weights as the last update left them, or their moving average (optimizer.ema).", false, "last|average"},
      {"", "data", path, "", "The data set's folder; the one that the run was trained on when not given."},
      {"", "split", choice, "test", "The split to evaluate on.", false, "train|valid|test"},
      {"", "tasks", list, "", "The tasks to evaluate, separated by commas; all of the run when empty."},
      {"", "samples", integer, "0", "Samples of each task, the first ones of the split; 0: all.", false, ">=0"},
      {"", "json", flag, "", "Print one JSON object instead of a table."},
      {"", "beam", integer, "1", "Of translation: prefixes that compete in beam search; 1: greedy.", false, ">=1"},
      {"", "length-penalty", number, "0.6",
       "Alpha of beam search, by whose power of (5 + length) / 6 log-probabilities are divided; 0: none.", false, ">=0",
       "", "beam!=1"},
      {"", "threads", integer, "0", "Computing threads of a worker; 0: the cores that this worker may use.", false,
       ">=0"},
      {"", "device", choice, "auto", "Where to compute; auto takes a GPU where there is one.", false, "auto|cpu|cuda"},
  };
  return table;
}

std::span<const Option> predict_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "run-dir", path, "", "The run's folder."},
      {"", "checkpoint", text, "latest",
       "Which checkpoint: latest, best (of run.best), or the step of one that is there."},
      {"", "weights", choice, "last",
       "The weights as the last update left them, or their moving average (optimizer.ema).", false, "last|average"},
      {"", "task", text, "", "The task whose head predicts."},
      {"", "in", path, "", "The JSONL file to read; standard input when not given."},
      {"", "out", path, "", "The JSONL file to write; standard output when not given."},
      {"", "attention", flag, "",
       "Add \"attention\" to each line: its words (pieces) and what each weighs for every task."},
      {"", "batch", integer, "32", "Texts at a time.", false, ">=1"},
      {"", "max-length", integer, "",
       "Tokens of a text, what is longer is cut; as import cut the run's data when not given.", false, ">=4"},
      {"", "beam", integer, "1", "Of translation: prefixes that compete in beam search; 1: greedy.", false, ">=1"},
      {"", "length-penalty", number, "0.6",
       "Alpha of beam search, by whose power of (5 + length) / 6 log-probabilities are divided; 0: none.", false, ">=0",
       "", "beam!=1"},
      {"", "threads", integer, "0", "Computing threads; 0: the cores that this process may use.", false, ">=0"},
      {"", "device", choice, "auto", "Where to compute; auto takes a GPU where there is one.", false, "auto|cpu|cuda"},
  };
  return table;
}

TrainedModel load_run(std::string_view command, const Config& config, const std::vector<std::string>& tasks,
                      Communicator& world) {
  require_effects(config, {});
  int threads = static_cast<int>(config.integer("threads"));
  if (threads == 0) threads = cpus_from_affinity(world).threads();
  TrainedModel trained =
      load_trained(config.path("run-dir"), {config.text("checkpoint"), config.text("weights") == "average"}, tasks,
                   resolve_device(config.text("device")), threads);
  if (const std::string note = unfinished(config.path("run-dir")); !note.empty())
    fmt::print(stderr, "polyhead {}: note: {}\n", command, note);
  for (const std::string& warning : trained.warnings)
    fmt::print(stderr, "polyhead {}: a checkpoint is passed over: {}\n", command, warning);
  const auto is_translation = [&](const auto& head) {
    return trained.description.tasks[static_cast<std::size_t>(head.first)].kind == Kind::translation;
  };
  if (config.integer("beam") > 1 && std::ranges::none_of(trained.model->heads(), is_translation))
    throw Error(Exit::usage, fmt::format("--beam {}: it has no effect without a task of kind translation; leave it out",
                                         config.integer("beam")));
  return trained;
}

SearchOptions search_options(const Config& config) {
  return {.beam = config.integer("beam"), .length_penalty = config.number("length-penalty")};
}

}  // namespace polyhead
