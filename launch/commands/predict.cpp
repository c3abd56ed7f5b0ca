// `polyhead predict`: reads JSONL and writes the same lines in the same order, each with its prediction added.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "core/base/error.h"
#include "core/base/text.h"
#include "datasets/import/unknown_tokens.h"
#include "launch/columns.h"
#include "launch/commands/commands.h"
#include "launch/end_on_signal.h"
#include "launch/foreign_input.h"
#include "launch/input_lines.h"
#include "launch/output_file.h"
#include "launch/prediction.h"
#include "launch/say.h"

namespace polyhead {
namespace {

std::optional<std::filesystem::path> file_option(const Config& config, const char* name) {
  return config.has(name) ? std::optional(config.path(name)) : std::nullopt;
}

// Returns the length at which texts are truncated; 0: not known.
std::size_t length_option(const Config& config, const ModelDescription& description) {
  if (!config.has("max-length")) return description.max_length;
  const auto length = static_cast<std::uint64_t>(config.integer("max-length"));
  check_length(description.encoder, length, fmt::format("--max-length {}", length),
               fmt::format("give --max-length {} or less", description.encoder.positions));
  return length;
}

std::map<std::string, std::string> columns_option(const Config& config, const TrainedTask& task) {
  const auto parts = InputNames::parts(task.kind, task.statistics.feature_width > 0, task.statistics.pairs);
  return names_of_parts(config, "columns", parts, fmt::format("task {} does not read it", task.name));
}

// Reads lines, and predicts when there are --batch of them, or when the next one has not arrived yet.
class Answering {
 public:
  Answering(const Predictor& predictor, const TrainedModel& model, std::size_t batch, InputLines& in, OutputFile& out)
      : predictor_(predictor), model_(model), batch_(batch), in_(in), out_(out) {}

  void run() {
    std::string text;
    for (;;) {
      const InputLines::Next next = in_.next(text, lines_.empty());
      if (next == InputLines::Next::line) take(text);
      if (next != InputLines::Next::line || lines_.size() >= batch_) answer();
      if (next == InputLines::Next::end) return;
    }
  }
  const UnknownTokens& unknown() const { return unknown_; }
  // Returns a warning if inputs were truncated; otherwise "".
  std::string cut_warning(bool length_given) const {
    if (cut_ == 0) return "";
    return fmt::format("{} of {} inputs are longer than the {} of {} {}; their ends were not read (first: {})",
                       with_commas(cut_), with_commas(inputs_),
                       length_given ? "given --max-length" : "model's max_length", max_length_, unit_, first_cut_);
  }

 private:
  void take(const std::string& text) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) return;
    if (in_.number() == 1)
      if (const std::string foreign = foreign_input(text, in_.file(), predictor_.input_kind()); !foreign.empty())
        throw Error(Exit::data, fmt::format("{}:1: {}", in_.name(), foreign));
    try {
      lines_.push_back(predictor_.read(text, fmt::format("{}:{}", in_.name(), in_.number())));
    } catch (const Error& error) {
      answer();  // do not lose the lines before the invalid one
      const std::string partial = out_.partial().string();
      if (partial.empty()) throw;
      throw Error(error.code(),
                  fmt::format("{}. The predictions for the lines before it are in {}", error.what(), partial));
    }
    const PredictionLine& line = lines_.back();
    if (!line.found.empty() && line.found != found_)
      say("polyhead predict: took columns = {} from line {} on; --columns chooses others\n", line.found, in_.number());
    if (!line.found.empty()) found_ = line.found;
    note_length(line);
    if (line.input.features.empty())
      unknown_.add(*model_.tokenizer, model_.description.tokenizer, line.input.tokens, line.text,
                   fmt::format("line {}", in_.number()));
  }
  void note_length(const PredictionLine& line) {
    ++inputs_;
    if (!line.input.cut || ++cut_ > 1) return;
    max_length_ = line.max_length;
    unit_ = line.input.features.empty() ? "tokens" : "vectors";
    first_cut_ = fmt::format("line {}", in_.number());
  }
  void answer() {
    if (lines_.empty()) return;
    std::string text;
    for (const std::string& line : predictor_.predict(lines_)) text += line + '\n';
    out_.write(text);
    lines_.clear();
  }

  const Predictor& predictor_;
  const TrainedModel& model_;
  std::size_t batch_;
  InputLines& in_;
  OutputFile& out_;
  std::vector<PredictionLine> lines_;
  UnknownTokens unknown_;
  std::string found_;                   // the keys that were reported last
  std::uint64_t inputs_ = 0, cut_ = 0;  // all inputs, and those that were truncated
  std::size_t max_length_ = 0;          // of the truncated ones
  std::string unit_, first_cut_;
};

}  // namespace

int run_predict(const Config& config, Communicator& world) {
  for (const char* name : {"run-dir", "task"})
    if (!config.has(name)) throw Error(Exit::usage, fmt::format("--{} is not given", name));
  const std::string task = config.text("task");
  const TrainedModel trained = load_run("predict", config, {task}, world);
  const TrainedTask& about = trained.description.tasks[trained.description.task(task)];
  const Predictor predictor(trained, task, length_option(config, trained.description), search_options(config),
                            config.flag("attention"), columns_option(config, about));
  InputLines in(file_option(config, "in"));
  if (!config.has("out") && in.is_file_of(STDOUT_FILENO))
    throw Error(Exit::usage,
                fmt::format("{}: standard output goes to the file that is read, which the shell's '>' empties first; "
                            "use --out, which writes a temporary file and renames it at the end",
                            in.name()));
  OutputFile out(file_option(config, "out"));
  Answering answering(predictor, trained, static_cast<std::size_t>(config.integer("batch")), in, out);
  std::optional<EndOnSignal> signals;
  if (config.has("out"))
    signals.emplace("polyhead predict", [&] {
      const std::string partial = out.abandon().string();
      return partial.empty() ? std::string("nothing was predicted") : "the predictions so far are in " + partial;
    });
  answering.run();
  signals.reset();
  out.commit();
  if (const std::string warning = answering.cut_warning(config.has("max-length")); !warning.empty())
    say("polyhead predict: warning: {}\n", warning);
  // One or two tokens of a short text do not say anything about the vocabulary.
  constexpr std::uint64_t kFew = 2;
  if (const std::string warning = answering.unknown().warning(in.name());
      !warning.empty() && answering.unknown().unknown() > kFew)
    say("polyhead predict: warning: {}\n", warning);
  return 0;
}

}  // namespace polyhead
