// Joins lines of gradients with the step lines before or after them, one pass over metrics.jsonl.
#include "launch/affinity/gradient_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

#include "core/base/error.h"
#include "launch/checked_line.h"
#include "launch/table.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Says what is wrong with a line, without its place.
class WrongLine : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Returns NaN for null.
double number_of(const Json& value, const char* what) {
  if (value.is_null()) return kNotKnown;
  if (!value.is_number()) throw WrongLine(fmt::format("{} holds {}, expected a number or null", what, value.dump()));
  return value.get<double>();
}

const Json& list_of(const Json& line, const char* key, std::size_t size) {
  if (!line.contains(key) || !line[key].is_array()) throw WrongLine(fmt::format("it has no list \"{}\"", key));
  if (line[key].size() != size)
    throw WrongLine(fmt::format("\"{}\" has {} entries for {} tasks", key, line[key].size(), size));
  return line[key];
}

// A line of gradients, or what a step line says about the same step.
struct Gradients {
  std::int64_t step = 0;
  std::vector<std::string> tasks;
  GradientStep values;  // without tasks, losses and lr
  bool sketched = false;
};
struct StepLine {
  std::int64_t step = 0;
  double lr = kNotKnown;
  Json loss;
};

Gradients gradients_of(const Json& line) {
  Gradients out;
  out.step = line["step"].get<std::int64_t>();
  if (!line.contains("tasks") || !line["tasks"].is_array()) throw WrongLine("it has no list \"tasks\"");
  for (const Json& task : line["tasks"]) {
    if (!task.is_string()) throw WrongLine(fmt::format("\"tasks\" holds {}, expected a name", task.dump()));
    const auto& name = task.get_ref<const std::string&>();
    if (std::ranges::count(out.tasks, name) > 0) throw WrongLine(fmt::format("\"tasks\" holds '{}' twice", name));
    out.tasks.push_back(name);
  }
  const std::size_t size = out.tasks.size();
  for (const Json& value : list_of(line, "norm", size)) out.values.norm.push_back(number_of(value, "\"norm\""));
  const Json& rows = list_of(line, "cosine", size);
  out.values.cosine = SquareMatrix(size);
  for (std::size_t i = 0; i < size; ++i) {
    if (!rows[i].is_array() || rows[i].size() != i)
      throw WrongLine(fmt::format("row {} of \"cosine\" is {}, expected a list of {} numbers", i, rows[i].dump(), i));
    for (std::size_t j = 0; j < i; ++j) out.values.cosine(i, j) = number_of(rows[i][j], "\"cosine\"");
  }
  out.sketched = line.contains("sketch") && line["sketch"].is_number() && line["sketch"].get<double>() != 0;
  return out;
}

StepLine step_of(const Json& line) {
  StepLine out;
  out.step = line["step"].get<std::int64_t>();
  if (line.contains("lr")) out.lr = number_of(line["lr"], "\"lr\"");
  if (line.contains("loss") && line["loss"].is_object()) out.loss = line["loss"];
  return out;
}

class Reader {
 public:
  void read(const Json& line) {
    if (line["kind"] == "gradients") {
      Gradients found = gradients_of(line);
      if (step_ && step_->step == found.step)
        join(found, *step_);
      else
        wait_for_step(std::move(found));
    } else if (line["kind"] == "step") {
      step_ = step_of(line);
      if (waiting_ && waiting_->step == step_->step) join(*std::exchange(waiting_, std::nullopt), *step_);
    }
  }

  GradientLines finish() {
    if (waiting_) ++out_.without_loss;
    return std::move(out_);
  }

  GradientLines& out() { return out_; }

 private:
  void wait_for_step(Gradients found) {
    if (waiting_) ++out_.without_loss;
    waiting_ = std::move(found);
  }

  std::size_t number_of_task(const std::string& name) {
    const auto found = std::ranges::find(out_.tasks, name);
    if (found != out_.tasks.end()) return static_cast<std::size_t>(found - out_.tasks.begin());
    out_.tasks.push_back(name);
    return out_.tasks.size() - 1;
  }

  void join(Gradients found, const StepLine& step) {
    found.values.lr = step.lr;
    for (const std::string& task : found.tasks) {
      found.values.tasks.push_back(number_of_task(task));
      found.values.loss.push_back(step.loss.contains(task) ? number_of(step.loss[task], "\"loss\"") : kNotKnown);
    }
    out_.sums.add(found.values);
    if (out_.steps++ == 0) out_.first = found.step;
    out_.last = found.step;
    if (found.sketched) ++out_.sketched;
  }

  GradientLines out_;
  std::optional<StepLine> step_;
  std::optional<Gradients> waiting_;
};

// Reads all lines. `seen` counts the lines of gradients of all steps.
void read_lines(const fs::path& file, std::int64_t from, std::int64_t to, Reader& reader, std::int64_t& seen) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream)
    throw Error(Exit::data, fmt::format("cannot read {}: {}; training writes this file into its run folder",
                                        file.string(), std::strerror(errno)));
  std::int64_t number = 0;
  for (std::string line; std::getline(stream, line) && !stream.eof();) {  // a line without its end is incomplete
    ++number;
    const Json json = Json::parse(line, nullptr, false);
    if (!whole(line, json)) {
      if (reader.out().damaged++ == 0) reader.out().first_damaged = number;
      continue;
    }
    const auto step = json["step"].get<std::int64_t>();
    if (json["kind"] == "gradients") ++seen;
    if (step < from || (to > 0 && step > to)) continue;
    try {
      reader.read(json);
    } catch (const WrongLine& error) {
      throw Error(Exit::data, fmt::format("{}:{}: the line of step {} cannot be read: {}; it was not written by this "
                                          "version of polyhead train",
                                          file.string(), number, step, printable(error.what())));
    }
  }
}

}  // namespace

GradientLines read_gradient_lines(const fs::path& run_dir, std::int64_t from, std::int64_t to) {
  const fs::path file = run_dir / "metrics.jsonl";
  Reader reader;
  std::int64_t seen = 0;
  read_lines(file, from, to, reader, seen);
  GradientLines out = reader.finish();
  if (out.steps > 0) return out;
  const std::string damaged = out.damaged == 0 ? "" : fmt::format(" ({} damaged lines are left out)", out.damaged);
  if (seen == 0)
    throw Error(Exit::data,
                fmt::format("{} has no line of gradients{}. Training writes them every balance.telemetry_every steps "
                            "(0: never), and in every step with a balance.method that reads the inner products of "
                            "gradients; train with --balance.telemetry_every 10, for example",
                            file.string(), damaged));
  if (out.without_loss > 0)
    throw Error(Exit::data, fmt::format("{} has {} lines of gradients, but no step line with the losses of the same "
                                        "step{}; lines are missing from the file",
                                        file.string(), out.without_loss, damaged));
  throw Error(Exit::data, fmt::format("{} has {} lines of gradients, but none from step {} to {}; choose other steps "
                                      "with --from and --to",
                                      file.string(), seen, from, to > 0 ? std::to_string(to) : "the last"));
}

}  // namespace polyhead
