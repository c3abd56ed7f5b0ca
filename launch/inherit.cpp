// Completes a configuration from the configurations of other runs.
#include "launch/inherit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/numbers.h"
#include "core/base/text.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kStart = {"run.init_from", "run.init_checkpoint", "run.init_weights",
                                                    "run.init_hash"};
// What a pretrained model determines follows its folder and hash.
constexpr std::array<std::string_view, 2> kPretrained = {"encoder.from", "encoder.from_hash"};
constexpr std::array<std::string_view, 9> kOfPretrained = {
    "encoder.form",      "encoder.layers",      "encoder.dim",          "encoder.heads",     "encoder.ffn",
    "encoder.positions", "encoder.token_types", "encoder.norm_epsilon", "encoder.activation"};
// Options of a single start, or of a single folder.
constexpr std::array<std::string_view, 4> kOfOneStart = {"run.run_dir", "run.stop_at", "run.resume", "run.trace"};

template <class List>
bool among(const List& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

// Rank 0 reads the file; all ranks get its content, or nullopt if there is no such file. Collective.
std::optional<std::string> read_together(const fs::path& file, const char* what, Communicator& world) {
  std::string mine;
  std::error_code code;
  if (world.rank() == 0 && !file.empty() && fs::is_regular_file(file, code)) {
    mine = read_file(file);
    mine += '+';  // distinguishes an empty file from a missing one
  }
  std::string text = world.all_gather_strings(what, mine).front();
  if (text.empty()) return std::nullopt;
  text.pop_back();
  return text;
}

bool has_checkpoint(const fs::path& run_dir) {
  std::error_code code;
  return fs::exists(run_dir / "checkpoints" / "latest", code);
}

void take(Config& config, const Config& from, const std::string& name) {
  if (config.given(name) == nullptr && from.given(name) != nullptr) config.set(name, *from.given(name));
}

// Returns whether a value of `from` only follows from another option that is given here: a task's patience from
// run.task_patience, its dropout from encoder.dropout, the hash of the data from the tasks.
bool follows_what_is_given(const Config& config, const Config& from, const std::string& name) {
  const std::string leader = name == "run.data_hash"                                    ? "run.tasks"
                             : name.starts_with("task.") && name.ends_with(".patience") ? "run.task_patience"
                             : name.starts_with("task.") && name.ends_with(".dropout")  ? "encoder.dropout"
                                                                                        : "";
  if (leader.empty() || config.given(leader) == nullptr) return false;
  return name == "run.data_hash" || from.text(name) == from.text(leader);
}

bool gives_identity(const Config& config) {
  return std::ranges::any_of(config.names_given(), [&](const std::string& name) {
    return config.option(name).identity && config.given(name) != nullptr;
  });
}

bool same_folder(const fs::path& a, const fs::path& b) {
  std::error_code code;
  return fs::weakly_canonical(a, code) == fs::weakly_canonical(b, code);
}

void inherit_from_source(Config& config, const Config& source, Inherited& inherited) {
  const bool all = config.given("run.data") == nullptr;
  for (const std::string& name : source.names_given()) {
    const Option& option = source.option(name);
    const bool shape =
        option.identity && (option.section == "encoder" || name == "attention.mode" || name == "attention.heads");
    if (among(kOfOneStart, name) || among(kStart, name) || among(kPretrained, name) || name == "run.data_hash")
      continue;
    if (follows_what_is_given(config, source, name)) continue;
    if (all || shape) take(config, source, name);
  }
  inherited.notes.push_back(fmt::format("options that {} not given here are taken from the configuration of {}",
                                        all ? "are" : "define the shape of the model and are",
                                        config.path("run.init_from").string()));
}

}  // namespace

void inherit_start(Config& config, const Config& before) {
  take(config, before, "run.tasks");
  // Otherwise the hashes are compared later.
  const auto same_or_not_given = [&](const std::string& option) {
    return before.has(option) &&
           (config.given(option) == nullptr || same_folder(config.path(option), before.path(option)));
  };
  if (same_or_not_given("encoder.from")) {
    for (const std::string_view name : kPretrained) take(config, before, std::string(name));
    for (const std::string_view name : kOfPretrained) take(config, before, std::string(name));
  }
  if (!same_or_not_given("run.init_from")) return;
  for (const std::string_view name : kStart) take(config, before, std::string(name));
  // Use the checkpoint that "latest" or "best" named when the run began.
  const std::string checkpoint = "run.init_checkpoint";
  if (const std::string which = config.text(checkpoint);
      which == "latest" || which == "best" || which.starts_with("best:"))
    config.set(checkpoint, *before.given(checkpoint));
}

Inherited inherit(Config& config, Communicator& world) {
  Inherited inherited;
  const fs::path run_dir = config.has("run.run_dir") ? config.path("run.run_dir") : fs::path();
  const fs::path own = run_dir.empty() ? run_dir : run_dir / "config.ini";
  if (const auto text = read_together(own, "launch.run_config", world)) {
    inherited.before = read_config(train_options(), parse_ini(*text, own));
    inherited.has_weights = has_checkpoint(run_dir);
    const bool all = config.given("run.data") == nullptr || !gives_identity(config);
    if (all) {
      for (const std::string& name : inherited.before->names_given())
        if (!among(kOfOneStart, name) && !among(kStart, name) && !among(kPretrained, name) &&
            !follows_what_is_given(config, *inherited.before, name))
          take(config, *inherited.before, name);
      inherited.notes.push_back(fmt::format("options that are not given here are taken from {}", own.string()));
    }
    inherit_start(config, *inherited.before);
  }
  const bool starts_from = config.has("run.init_from") && !inherited.before;
  const fs::path source = starts_from ? config.path("run.init_from") : fs::path();
  const auto text = read_together(starts_from ? source / "config.ini" : source, "launch.source_config", world);
  if (!starts_from) return inherited;
  if (!run_dir.empty() && same_folder(source, run_dir))
    throw Error(Exit::config, fmt::format("{}: it is the run's own folder; give a new one with --run-dir",
                                          config.quote("run.init_from")));
  if (!text)
    throw Error(Exit::config, fmt::format("{}: the folder holds no run: it has no config.ini; give the folder that "
                                          "polyhead train was given as --run-dir",
                                          config.quote("run.init_from")));
  inherit_from_source(config, read_config(train_options(), parse_ini(*text, source / "config.ini")), inherited);
  return inherited;
}

void check_resumed(Config& config, Inherited& inherited, const Manifest& manifest, Communicator& world) {
  if (!inherited.before) return;
  const fs::path run_dir = config.path("run.run_dir");
  const std::string tasks = inherited.before->text("run.tasks");  // a name may contain commas
  const auto is_of_run = [&](const TaskInfo& task) { return tasks.find(task.name) != std::string::npos; };
  if (!tasks.empty() && std::ranges::none_of(manifest.tasks, is_of_run))
    throw Error(Exit::config,
                fmt::format("{} holds a run of the tasks {}, but the data set {} has none of them; choose another "
                            "--run-dir, or give the data set of the run, {}, with --data",
                            run_dir.string(), tasks, manifest.name, inherited.before->path("run.data").string()));
  const auto text = read_together(run_dir / "checkpoints" / "latest", "launch.latest", world);
  const std::string prefix = "step-";
  const std::string_view name = text ? trim(std::string_view(*text).substr(0, text->find('\n'))) : std::string_view();
  const auto made = name.starts_with(prefix) ? parse_integer(name.substr(prefix.size())) : std::nullopt;
  if (!made || *made < config.integer("run.steps")) return;
  const std::int64_t last = inherited.before->integer("run.steps");
  std::string fewer;
  if (*made > config.integer("run.steps")) {
    if (config.origin("run.steps") == "command line" || *made < last)
      throw Error(Exit::config, fmt::format("{}: the run has made {} steps already{}; give --run.steps {} or more",
                                            config.quote("run.steps"), *made,
                                            *made < last ? fmt::format(" of the {} that it was given last", last) : "",
                                            std::max(*made, last)));
    fewer = fmt::format("; {} is ignored, because the run was given more steps later", config.quote("run.steps"));
    config.set("run.steps", *inherited.before->given("run.steps"));
  }
  inherited.notes.push_back(fmt::format(
      "this run is complete: {} steps{}; --run.steps with a larger number trains it further", *made, fewer));
}

std::vector<std::string> changes_on_resuming(const Config& before, const Config& now) {
  std::vector<std::string> lines;
  const auto differs = [&](const std::string& name) { return before.text(name) != now.text(name); };
  const auto both = [&](const std::string& name) {
    return fmt::format("{}: {} before, {} now", name, before.text(name), now.text(name));
  };
  if (before.integer("run.steps") != now.integer("run.steps")) {
    const std::string schedule = now.text("optimizer.schedule");
    const bool ends = schedule == "cosine" || schedule == "linear";
    lines.push_back(both("run.steps") +
                    (ends ? fmt::format("; the {} schedule of the learning rate now ends at step {}", schedule,
                                        now.integer("run.steps"))
                          : fmt::format("; the {} schedule of the learning rate does not depend on it", schedule)));
  }
  const bool decided = now.has("run.best") || std::ranges::any_of(now.tasks(), [&](const TaskMention& task) {
                         const std::string patience = fmt::format("task.{}.patience", task.name);
                         return now.has(patience) && now.integer(patience) > 0;
                       });
  for (const char* name : {"run.eval_every", "run.eval_samples", "run.patience", "run.task_patience"})
    if (differs(name))
      lines.push_back(both(name) + (decided ? "; early stopping and the best checkpoint use it from now on" : ""));
  for (const char* name : {"run.checkpoint_every", "run.checkpoint_seconds", "run.keep"})
    if (differs(name)) lines.push_back(both(name));
  return lines;
}

}  // namespace polyhead
