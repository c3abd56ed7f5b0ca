// What commands share: the options of those that read a finished run, evaluate and predict.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "core/base/error.h"
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
       "Which checkpoint: latest, best (of run.best), or the step of one that is there."},
      {"", "weights", choice, "last",
       "The weights as the last update left them, or their moving average (optimizer.ema).", false, "last|average"},
      {"", "data", path, "", "The data set's folder; the one that the run was trained on when not given."},
      {"", "split", choice, "test", "The split to evaluate on.", false, "train|valid|test"},
      {"", "tasks", list, "", "The tasks to evaluate, separated by commas; all of the run when empty."},
      {"", "samples", integer, "0",
       "Samples of each task: a fixed sample of the split, which holds those that training took of valid; 0: all.",
       false, ">=0"},
      {"", "json", flag, "", "Print one JSON object instead of a table."},
      {"", "beam", integer, "1", "Of translation: prefixes that compete in beam search; 1: greedy.", false, ">=1"},
      {"", "length-penalty", number, "0.6",
       "Length penalty alpha of beam search: log-probabilities are divided by ((5 + length) / 6)^alpha. 0: "
       "none.",
       false, ">=0", "", "beam!=1"},
      {"", "threads", integer, "0",
       "Computing threads; 0: OMP_NUM_THREADS, or as many of the cores that this process may use as a short "
       "measurement "
       "finds fastest.",
       false, ">=0"},
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
      {"", "out", path, "",
       "The JSONL file to write, which may be the one to read; it is written beside and renamed at the end. Standard "
       "output when not given."},
      {"", "attention", flag, "",
       "Add \"attention\" to each line: its words (pieces) and what each weighs for every task."},
      {"", "batch", integer, "32",
       "Lines to predict at a time. Fewer are predicted at once when the input ends, or when it is a pipe or a "
       "terminal "
       "from which no further line has come for 10 ms; each batch is written as soon as it is done.",
       false, ">=1"},
      {"", "max-length", integer, "",
       "Tokens or vectors of an input, what is longer is cut; as import cut the run's data when not given.", false,
       ">=4"},
      {"", "beam", integer, "1", "Of translation: prefixes that compete in beam search; 1: greedy.", false, ">=1"},
      {"", "length-penalty", number, "0.6",
       "Length penalty alpha of beam search: log-probabilities are divided by ((5 + length) / 6)^alpha. 0: "
       "none.",
       false, ">=0", "", "beam!=1"},
      {"", "threads", integer, "0",
       "Computing threads; 0: OMP_NUM_THREADS, or as many of the cores that this process may use as a short "
       "measurement "
       "finds fastest.",
       false, ">=0"},
      {"", "device", choice, "auto", "Where to compute; auto takes a GPU where there is one.", false, "auto|cpu|cuda"},
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
  const auto is_translation = [&](const auto& head) {
    return trained.description.tasks[static_cast<std::size_t>(head.first)].kind == Kind::translation;
  };
  if (config.integer("beam") > 1 && std::ranges::none_of(trained.model->heads(), is_translation))
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
