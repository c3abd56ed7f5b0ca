// The program: finds the subcommand, reads its options, runs it, and reports errors.
#include "launch/program/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include "core/base/error.h"
#include "core/base/host.h"
#include "core/base/nearest.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/timeline.h"
#include "launch/commands/commands.h"
#include "launch/failure.h"
#include "launch/handshake.h"
#include "launch/launcher.h"
#include "launch/program/versions.h"
#include "launch/program/watch.h"
#include "launch/signals.h"
#include "launch/table.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

constexpr std::string_view kVersion = "0.1.0";

void print(std::FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

std::string general_help() {
  std::string out =
      "polyhead: trains one shared encoder with a head for each of many tasks, on one or many workers.\n\n"
      "usage: polyhead COMMAND [options]\n\n";
  for (const Command& command : commands()) out += fmt::format("  {:<12} {}\n", command.name, command.summary);
  out +=
      "\n'polyhead help COMMAND' lists a command's options; 'polyhead --version' prints the versions of the program "
      "and "
      "its libraries.\n";
  return out;
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (command.name == name) return command;
    names.emplace_back(command.name);
  }
  throw Error(Exit::usage, fmt::format("there is no command '{}'{}; the commands are {}", name,
                                       did_you_mean(name, names), fmt::join(names, ", ")));
}

// Prints an error. With several workers it ends all of them and does not return.
int report(const std::string& who, Communicator* world, int code, const std::string& words) {
  const std::string what = printable(words);  // the message may quote arbitrary bytes of a file
  if (world == nullptr || world->size() == 1) {
    print(stderr, fmt::format("{}: {}\n", who, what));
    return code;
  }
  // Rank 0 reports errors that all ranks have. The others wait here until it ends them.
  if (world->rank() != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
  print(stderr, fmt::format("{}, worker {} of {} on {}: {}\n", who, world->rank(), world->size(), host_name(), what));
  world->abort(code);
  return code;
}

// Handles signals for the commands that can save something.
void catch_signals_of(const std::string& command) {
  const Launcher launcher = find_launcher();
  const std::string who =
      launcher.rank <= 0 ? fmt::format("polyhead {}", command) : "";  // only one of the workers reports it
  if (command == "train")
    catch_stop_signals(who, "training finishes its step, saves a checkpoint and ends with code 75",
                       launcher.processes == 1);
  else if (command == "compare")
    catch_stop_signals(who, "the run that is training saves a checkpoint, and compare ends with code 75");
}

// Runs `body` and reports what it throws.
template <class Body>
int guarded(const std::string& who, Communicator* world, Body body) {
  try {
    return body();
  } catch (const std::exception& error) {
    const Failure failure = failure_of(error, std::string_view(who).substr(std::min(who.size(), who.find(' ') + 1)));
    return report(who, world, failure.code, failure.words);
  }
}

std::string help_of(const Command& command) {
  return help_text(command.name, command.summary, command.options);
}

int run_command(const Command& command, const std::vector<std::string>& words, Communicator& world) {
  const bool help =
      std::ranges::any_of(words, [](const std::string& word) { return word == "--help" || word == "-h"; });
  std::optional<Config> config;
  if (!help) config = parse_options(command.name, command.options, words);
  // This must come before any other collective, because the workers' collectives could be those of different commands,
  // or depend on an option.
  if (world.size() > 1)
    compare_workers("launch.words", facts_of_words(command.name, config ? &*config : nullptr), world);
  if (config) {
    if (world.rank() == 0)
      for (const std::string& warning : config->warnings())
        print(stderr, fmt::format("warning: {}\n", printable(warning)));
    return command.run(*config, world);
  }
  if (world.rank() == 0) print(stdout, help_of(command));
  return 0;
}

}  // namespace

std::span<const Command> commands() {
  static const std::vector<Command> list = {
      {"import",
       "Converts sample files (JSONL, Parquet, CSV, TSV, text, CoNLL) into a data set, following an import "
       "description.",
       import_options(), false, run_import},
      {"synthetic", "Writes JSONL files of synthetic tasks, and their import description.", synthetic_options(), false,
       run_synthetic},
      {"inspect", "Shows what a data set contains: counts, lengths, labels, samples.", inspect_options(), false,
       run_inspect},
      {"verify", "Verifies every hash and rule of a data set, and the checkpoints of a run.", verify_options(), false,
       run_verify},
      {"plan",
       "Estimates what a run needs on N workers (heads, memory, traffic, time), or measures the figures for it.",
       plan_options(), true, run_plan},
      {"train", "Trains a model, or resumes a run.", train_options(), true, run_train},
      {"evaluate", "Computes the metrics of a run's tasks on a split.", evaluate_options(), false, run_evaluate},
      {"compare", "Trains each task alone and all tasks together, or two configurations, and reports the differences.",
       compare_options(), false, run_compare},
      {"affinity", "Shows from a run's gradients which tasks help each other, and proposes which to train together.",
       affinity_options(), false, run_affinity},
      {"predict", "Adds a run's predictions to the lines of a JSONL file.", predict_options(), false, run_predict},
      {"export", "Writes a run's model in files that other programs read: transformers, or safetensors.",
       export_options(), false, run_export},
      {"balance", "Computes the weights that a balancer gives to the tasks, from losses and gradients' inner products.",
       balance_options(), false, run_balance},
      {"doctor", "Checks this machine, or the machines of all workers, and reports what will not work.",
       doctor_options(), true, run_doctor},
  };
  return list;
}

int run_program(int argc, char** argv) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (words.size() > 1 && words[0] == "help")
    return guarded("polyhead", nullptr, [&] {
      print(stdout, help_of(find_command(words[1])));
      return 0;
    });
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print(words.empty() ? stderr : stdout, general_help());
    return static_cast<int>(words.empty() ? Exit::usage : Exit::done);
  }
  catch_signals_of(words[0]);  // before anything that takes time
  if (words[0] == "--version")
    return guarded("polyhead", nullptr, [] {
      print(stdout, fmt::format("polyhead {}\n{}", kVersion, library_versions()));
      return 0;
    });
  open_standard_streams();
  throw_when_out_of_memory();
  report_uncaught(words[0], {});
  forget_wait_policy();
  catch_lost_files();
  make_write_signals_errors(words[0] == "train" || words[0] == "compare");
  const Command* command = nullptr;
  std::unique_ptr<Watchdog> watchdog;  // outlives the world: ending MPI can hang too
  std::unique_ptr<Communicator> world;
  int code = guarded("polyhead", nullptr, [&] {
    command = &find_command(words[0]);
    if (!command->parallel && launched_processes() > 1)
      throw Error(Exit::usage,
                  fmt::format("'polyhead {}' is one process, but the launcher started {}; run it without mpirun",
                              command->name, launched_processes()));
    watchdog = start_watchdog(*command, words);
    const Phase phase("joining");
    world = command->parallel ? make_world(&argc, &argv) : make_local_communicator();
    if (watchdog) watchdog->joined();
    return 0;
  });
  if (code != 0) return code;
  words.erase(words.begin());
  return guarded(fmt::format("polyhead {}", command->name), world.get(), [&] {
    int ended = 0;
    try {
      ended = run_command(*command, words, *world);
    } catch (...) {
      watchdog.reset();  // the error ends the run, not a hang
      throw;
    }
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      throw Error(Exit::cannot_write, "the output cannot be written: it is closed or the disk is full");
    return ended;
  });
}

}  // namespace polyhead
