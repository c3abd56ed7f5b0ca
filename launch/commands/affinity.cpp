// `polyhead affinity`: from the gradients that a run has recorded, which tasks help each other, and a proposal which to
// train together.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "launch/affinity/gradient_lines.h"
#include "launch/affinity/measured_pairs.h"
#include "launch/affinity/picture.h"
#include "launch/affinity/report.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/run_folder.h"
#include "launch/run_status.h"
#include "launch/say.h"
#include "launch/table.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

// Refuses runs and options from which no groups can be made.
void check_tasks(const GradientLines& lines, std::int64_t groups, const fs::path& run_dir) {
  if (lines.tasks.size() < 2)
    throw Error(Exit::data, fmt::format("{} has gradients of {} only; an affinity needs two tasks that are trained "
                                        "together",
                                        (run_dir / "metrics.jsonl").string(),
                                        lines.tasks.empty() ? "no task" : "task " + printable(lines.tasks[0])));
  if (groups > static_cast<std::int64_t>(lines.tasks.size()))
    throw Error(Exit::config, fmt::format("--groups {}: the run has gradients of {} tasks, and no group is empty; give "
                                          "--groups {} or less",
                                          groups, lines.tasks.size(), lines.tasks.size()));
}

}  // namespace

std::span<const Option> affinity_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {.key = "run-dir",
       .type = path,
       .help = "The folder of a run that was trained with balance.telemetry_every, or with a balance.method that reads "
               "the inner products of gradients."},
      {.key = "from", .type = integer, .value = "1", .help = "The first step to use.", .allowed = ">=1"},
      {.key = "to",
       .type = integer,
       .value = "0",
       .help = "The last step to use. 0 uses all steps up to the last.",
       .allowed = ">=0"},
      {.key = "groups",
       .type = integer,
       .value = "2",
       .help = "Number of groups to divide the tasks into, none of which is empty. Up to 16 tasks, the partition with "
               "the highest affinity is found exactly; more tasks are divided by a cut through the dendrogram.",
       .allowed = ">=1"},
      {.key = "svg",
       .type = path,
       .help = "The file to write a picture of the affinities and the dendrogram to (SVG)."},
      {.key = "against",
       .type = path,
       .help = "A file with the output of polyhead compare --pairs --json. The rank correlation between the affinities "
               "and these measured gains is printed."},
      {.key = "draws",
       .type = integer,
       .value = "10000",
       .help = "Number of draws of the bootstrap over pairs, for the interval of the rank correlation.",
       .allowed = ">=100",
       .needs = "against"},
      {.key = "json", .type = flag, .value = "false", .help = "Print one JSON object instead of tables."},
  };
  return table;
}

int run_affinity(const Config& config, Communicator&) {
  require_effects(config, {});
  if (!config.has("run-dir")) throw Error(Exit::usage, "--run-dir DIR is not given: the folder of a run");
  const fs::path run_dir = config.path("run-dir");
  const std::int64_t from = config.integer("from"), to = config.integer("to"), groups = config.integer("groups");
  if (to > 0 && to < from)
    throw Error(Exit::usage,
                fmt::format("--from {} --to {}: the first step is after the last; exchange them", from, to));
  if (config.has("svg")) {
    check_not_input(config.path("svg"), "--svg", run_dir / "metrics.jsonl", "--run-dir");
    if (config.has("against")) check_not_input(config.path("svg"), "--svg", config.path("against"), "--against");
  }
  read_run_config(run_dir);
  GradientLines lines = read_gradient_lines(run_dir, from, to);
  check_tasks(lines, groups, run_dir);
  AffinityReport report = report_affinity(std::move(lines), static_cast<std::size_t>(groups));
  if (config.has("against"))
    report.agreement = agreement_of(report.affinity, report.lines.tasks, read_measured_pairs(config.path("against")),
                                    static_cast<int>(config.integer("draws")), config.path("against"));
  if (config.has("svg")) write_file_atomically(config.path("svg"), affinity_svg(report));
  if (const std::string note = unfinished(run_dir); !note.empty()) say("polyhead affinity: note: {}\n", note);
  for (const std::string& note : notes_of(report)) say("polyhead affinity: note: {}\n", printable(note));
  if (config.flag("json"))
    std::puts(json_of(report).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  else
    fmt::print("{}: {} tasks, {} steps from {} to {}\n\n{}", run_dir.string(), report.affinity.tasks,
               with_commas(report.affinity.steps), report.lines.first, report.lines.last, format_affinity(report));
  return 0;
}

}  // namespace polyhead
