// `polyhead export`: writes a run's model in files that other programs read.
#include <fmt/format.h>

#include <cstdio>
#include <system_error>

#include "core/base/error.h"
#include "distributed/checkpoint/export.h"
#include "launch/commands/commands.h"
#include "launch/run_status.h"
#include "launch/say.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

// A folder beside `target` that takes its place when it is complete.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& target) : target_(target), folder_(target.string() + ".exporting") {
    std::error_code code;
    if (fs::exists(target_, code) && !(fs::is_directory(target_, code) && fs::is_empty(target_, code)))
      throw Error(Exit::cannot_write,
                  fmt::format("--out {}: it exists and is not an empty folder; give a new one", target_.string()));
    fs::remove_all(folder_, code);  // left by an export that was killed
    fs::create_directories(folder_, code);
    if (code) fail("create", folder_, code);
  }
  ~NewFolder() {
    std::error_code code;
    fs::remove_all(folder_, code);
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  const fs::path& path() const { return folder_; }
  void publish() {
    std::error_code code;
    fs::rename(folder_, target_, code);
    if (code) fail("rename to", target_, code);
  }

 private:
  static void fail(const char* what, const fs::path& path, std::error_code code) {
    throw Error(Exit::cannot_write, fmt::format("cannot {} {}: {}", what, path.string(), code.message()));
  }

  fs::path target_, folder_;
};

}  // namespace

std::span<const Option> export_options() {
  using enum OptionType;
  static const std::vector<Option> table = [] {
    std::vector<Option> all = weights_options();
    all.push_back({.key = "out", .type = path, .help = "The folder to write. It must be empty or not exist."});
    all.push_back({.key = "format",
                   .type = choice,
                   .value = "hf",
                   .help = "hf: the encoder as a BERT model of Hugging Face's transformers (config.json, "
                           "model.safetensors and the tokenizer), for encoder.form = bert and encoder.share = hard, "
                           "lora or task_lora. "
                           "safetensors: the encoder and all heads in one file, with model.json, which describes them.",
                   .allowed = "hf|safetensors"});
    all.push_back({.key = "task",
                   .help =
                       "The task whose LoRA updates are merged into the encoder. It must be given with encoder.share = "
                       "task_lora and --format hf, and has no effect otherwise."});
    return all;
  }();
  return table;
}

int run_export(const Config& config, Communicator&) {
  for (const char* name : {"run-dir", "out"})
    if (!config.has(name)) throw Error(Exit::usage, fmt::format("--{} is not given", name));
  if (config.has("task") && config.text("format") != "hf")
    throw Error(Exit::usage,
                "--task: it has no effect with --format safetensors, which writes all tasks; leave it out");
  const fs::path run_dir = config.path("run-dir"), out = config.path("out");
  const TrainedModel trained =
      load_trained(run_dir, {config.text("checkpoint"), config.text("weights") == "average"}, {}, "cpu", 1);
  if (const std::string note = unfinished(run_dir); !note.empty()) say("polyhead export: note: {}\n", note);
  for (const std::string& warning : trained.warnings) say("polyhead export: a checkpoint is skipped: {}\n", warning);
  NewFolder folder(out);
  if (config.text("format") == "hf")
    export_hugging_face(trained, run_dir, config.has("task") ? config.text("task") : "", folder.path());
  else
    export_safetensors(trained, run_dir, folder.path());
  folder.publish();
  fmt::print("{}: the model of {} after step {}\n", out.string(), run_dir.string(), trained.step);
  return 0;
}

}  // namespace polyhead
