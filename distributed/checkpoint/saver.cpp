// Checks the model, then saves, and counts failures.
#include "distributed/checkpoint/saver.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>
#include <utility>

#include <ATen/ops/aminmax.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/files.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFailures = 3;
// Parameters of trained models are of the order of 1, and losses (also of standardised targets) are below a million.
constexpr double kAbsurd = 1e8;
constexpr const char* kMetrics = "metrics.jsonl";

// Returns what is wrong with the values; "" if nothing is.
std::string fault_of(const torch::Tensor& values, double bound, const std::string& what) {
  if (!values.defined() || values.numel() == 0) return "";
  const auto [low, high] = at::aminmax(values);
  const double worst = std::max(std::abs(low.item<double>()), std::abs(high.item<double>()));
  if (std::isfinite(worst) && worst < bound) return "";
  return fmt::format("{} holds the value {:.3g}", what, worst);
}

std::string fault_of(const AdamW& optimizer, const torch::Tensor& values, const std::string& owner) {
  constexpr double kFinite = std::numeric_limits<double>::max();
  for (const std::string& fault :
       {fault_of(values, kAbsurd, owner), fault_of(optimizer.average, kAbsurd, "the average of " + owner),
        fault_of(optimizer.mean, kFinite, "the optimizer's mean of " + owner),
        fault_of(optimizer.square, kFinite, "the optimizer's square of " + owner)})
    if (!fault.empty()) return fault;
  return "";
}

// Returns how this worker's part of the model shows that training has diverged; "" if it does not.
std::string find_fault(const CheckpointState& state, const Model& model, const Optimizers& optimizers,
                       const SaveRequest& request) {
  // A single skipped step may be due to its samples, and leaves the parameters as they were.
  if (request.last && !request.preempted && request.skipped >= 2)
    return fmt::format("the last {} steps had a loss or gradient that is not finite and changed nothing",
                       request.skipped);
  std::string fault = fault_of(optimizers.encoder, model.encoder().arena().values(), "the encoder");
  for (const auto& [task, head] : model.heads())
    if (fault.empty())
      fault = fault_of(optimizers.heads.at(task), head->arena().values(), "the head of task " + head->spec().task);
  if (request.skipped > 0) return fault;
  for (const auto& [task, loss] : request.losses)
    if (fault.empty() && !(std::abs(loss) < kAbsurd))
      fault = fmt::format("the loss of task {} in step {} is {:.3g}", task, state.step, loss);
  return fault;
}

}  // namespace

CheckpointSaver::CheckpointSaver(fs::path run_dir, std::int64_t keep, Warn warn, Communicator& world)
    : run_dir_(std::move(run_dir)), keep_(keep), warn_(std::move(warn)), world_(world), store_(run_dir_) {}

void CheckpointSaver::remember(const std::vector<std::string>& files) {
  if (world_.rank() != 0) return;
  std::error_code error;
  for (const std::string& name : files)
    if (fs::is_regular_file(run_dir_ / name, error)) files_[name] = read_file(run_dir_ / name);
}

void CheckpointSaver::check_run_folder(std::int64_t step) {
  std::vector<std::string> lost, restored;
  std::error_code error;
  for (const auto& [name, content] : files_)
    if (!fs::exists(run_dir_ / name, error)) lost.push_back(name), restored.push_back(name);
  if (metrics_ && !fs::exists(run_dir_ / kMetrics, error)) lost.emplace_back(kMetrics);
  for (const std::string& name : store_.lost()) lost.push_back("checkpoints/" + name);
  metrics_ = fs::exists(run_dir_ / kMetrics, error);
  if (lost.empty()) return;
  warn(fmt::format("step {}: files of the run folder {} were deleted while training ran: {}{}", step, run_dir_.string(),
                   fmt::join(lost, ", "),
                   restored.empty() ? "" : fmt::format("; these were written again: {}", fmt::join(restored, ", "))));
  fs::create_directories(run_dir_, error);
  for (const std::string& name : restored) write_file_atomically(run_dir_ / name, files_.at(name));
}

std::string CheckpointSaver::newest_whole() const {
  const fs::path newest = store_.newest_whole();  // known on rank 0 only
  return world_
      .all_gather_strings("checkpoint.newest", newest.empty()
                                                   ? "No checkpoint has been saved yet"
                                                   : fmt::format("The newest whole checkpoint is {}", newest.string()))
      .front();
}

fs::path CheckpointSaver::save(CheckpointState& state, const Model& model, const Optimizers& optimizers,
                               const std::vector<std::size_t>& leads, const SaveRequest& request) {
  if (request.skipped > 0 && !request.last) return {};
  for (const std::string& fault :
       world_.all_gather_strings("checkpoint.sane", find_fault(state, model, optimizers, request)))
    if (!fault.empty())
      throw Error(
          Exit::diverged,
          fmt::format(
              "step {}: training has diverged: {}. No checkpoint of this step is published. {}. Start a new run from "
              "the last checkpoint (run.init_from) with a lower optimizer.lr or a longer optimizer.warmup",
              state.step, fault, newest_whole()));
  if (request.skipped > 0)
    warn(
        fmt::format("step {}: the last step had a loss or gradient that is not finite and changed nothing; the "
                    "checkpoint holds the parameters before it",
                    state.step));
  state.parameter_hash = parameter_hash(model, state.model, leads, world_);
  for (;;) {
    Saved saved;
    std::string problem;
    if (world_.rank() == 0) try {
        check_run_folder(state.step);
      } catch (const Error& error) {
        problem = error.what();
      }
    problem = world_.all_gather_strings("checkpoint.folder", problem).front();
    if (problem.empty())
      saved = save_checkpoint(store_, state, model, optimizers, leads, keep_, world_);
    else
      saved.error = problem;
    for (const std::string& warning : saved.warnings) warn(warning);
    if (!saved.folder.empty()) {
      failures_ = 0;
      return saved.folder;
    }
    ++failures_;
    const std::string newest = newest_whole();
    if (failures_ >= kMostFailures)
      throw Error(Exit::cannot_write,
                  fmt::format("step {}: {} checkpoints in a row could not be saved; the last: {}. {}. Free disk space "
                              "or repair the disk, then start the same command again",
                              state.step, failures_, saved.error, newest));
    warn(fmt::format(
        "step {}: the checkpoint could not be saved ({} of {} failures in a row that end training): {}. "
        "{}; {}",
        state.step, failures_, kMostFailures, saved.error, newest,
        request.last ? "it will be tried again" : "training continues and tries again at the next checkpoint"));
    if (!request.last) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

}  // namespace polyhead
