// The loop of a training run: steps, and between them evaluations, checkpoints and the end.
#include "distributed/training/trainer.h"

#include <fmt/format.h>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/heads/model.h"
#include "core/kinds/registry.h"
#include "core/model/device.h"
#include "datasets/sampling/loader.h"
#include "datasets/sampling/prefetch.h"
#include "distributed/checkpoint/fence.h"
#include "distributed/checkpoint/fingerprint.h"
#include "distributed/checkpoint/preflight.h"
#include "distributed/checkpoint/resume.h"
#include "distributed/checkpoint/saver.h"
#include "distributed/communicator/timeline.h"
#include "distributed/evaluation/validate.h"
#include "distributed/planning/workload.h"
#include "distributed/step/balance.h"
#include "distributed/step/divergence.h"
#include "distributed/step/gradients.h"
#include "distributed/step/optimizers.h"
#include "distributed/step/sharding.h"
#include "distributed/step/slice_transpose.h"
#include "distributed/step/trace.h"
#include "distributed/training/passes.h"
#include "distributed/worker/device_world.h"
#include "distributed/worker/initial_weights.h"
#include "distributed/worker/task_groups.h"
#include "distributed/worker/teacher.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kSharedPatience = 30;  // seconds to wait until the other workers see a file of worker 0

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Thrown on all workers when one of them has received a signal before training begins.
struct Interrupted {};

// One training run on one worker.
class Training {
 public:
  Training(const TrainOptions& options, Communicator& world, const Observers& observers,
           const std::atomic<bool>& interrupt, bool resume)
      : options_(options),
        device_(choose_device(options.device, options.local_rank)),
        device_world_(make_device_world(world, device_, options.init_timeout)),
        world_(device_world_ ? *device_world_ : world),
        observers_(observers),
        interrupt_(interrupt),
        manifest_(read_manifest(options.data)),
        trace_(options.run_dir, options.trace_first, options.trace_last, options.host) {
    if (world_.rank() == 0) check_checkpoint_folder(options.run_dir);
    at::set_num_threads(options.threads);
    at::globalContext().setFlushDenormal(true);
    check(options.optimizer);
    balance_.emplace(options);
    open_data();
    end_if_interrupted();
    share_statistics(description_, readers_, tasks_, world_);
    saver_.emplace(
        options.run_dir, options.keep, [this](const std::string& text) { warn(text); }, world_);
    end_if_interrupted();
    const std::string found = resume ? find_resumed() : "";
    make_model(found.empty());
    try_run_folder(options.run_dir, checkpoint_needs(options, *model_, tasks_.led, world_), kSharedPatience,
                   options.host, world_);
    teachers_ =
        make_teachers(options, description_, tasks_.held, world_, [this](const std::string& text) { warn(text); });
    make_gradients();
    if (!found.empty()) restore(found);
    state_.model = description_;
    state_.model.tokenizer.file = fs::path(manifest_.tokenizer.file).filename().string();
    state_.fingerprint = options.fingerprint;
    state_.threads = options.worker_threads;
    saver_->remember({"config.ini", state_.model.tokenizer.file});
    loader_.emplace(readers_.train, manifest_.tokenizer, options.seed,
                    MicroBatches{options.accumulate, options.micro_batch});
  }

  TrainResult run() {
    end_if_interrupted();
    report_start();
    // Rank 0 has now written the first files of the run folder, even if a worker fails in its first step.
    world_.barrier("announce");
    saved_at_ = Clock::now();
    if (state_.evaluation_due) {  // a signal ended it; save again after it, so that the next start does not repeat it
      evaluate_valid();
      if (state_.evaluation_due) return result(Ending::preempted);
      saved_step_ = -1;
      save();
    }
    load_ahead();
    while (!ended()) {
      if (options_.stop_at > 0 && state_.step >= options_.stop_at) return save_last(Ending::stopped);
      const StepRecord done = step(state_.step + 1);
      trace_.end_step(state_.step, world_, [this](const std::string& text) { warn(text); });
      if (state_.step == options_.steps || every(options_.eval_every))
        if (evaluate_valid() && !ended()) load_ahead();
      if (state_.evaluation_due) return save_last(Ending::preempted);
      if (ended()) break;
      if (done.interrupted) return save_last(Ending::preempted);
      if (every(options_.checkpoint_every) || done.save || state_.validation.is_best(state_.step) || save_late_) save();
    }
    return save_last(Ending::done);
  }

 private:
  std::size_t task_count() const { return description_.tasks.size(); }
  bool every(std::int64_t steps) const { return steps > 0 && state_.step % steps == 0; }
  bool ended() const {
    return state_.step == options_.steps || !why_ended(options_.validation, state_.validation).empty();
  }
  void warn(const std::string& text) const {
    for (Observer* const observer : observers_) observer->on_warning(text);
  }

  // Called several times before the first step, because reading and checking data can take long.
  void end_if_interrupted() {
    std::vector<std::int64_t> asked = {interrupt_ ? 1 : 0};
    world_.all_reduce("interrupted", asked, Reduce::max);
    if (asked[0] != 0) throw Interrupted{};
  }

  void open_data() {
    description_ = describe_model(options_, manifest_);
    for (const TrainedTask& task : description_.tasks) smooths_ = smooths_ || smooths(task);
    samples_ = train_samples(manifest_, options_.tasks);
    quotas_ = phase_quotas(options_.mixture, options_.tasks, samples_);
    state_.mixture = entries_of(options_.mixture, quotas_);
    tasks_ = make_task_groups(options_, manifest_, state_.mixture, world_);
    readers_ = open_readers(options_, manifest_, description_, tasks_, world_.rank());
    tokenizer_ = load_tokenizer(options_.data, manifest_.tokenizer);
  }

  // Whether the task's head smooths its labels and reports its loss without smoothing too.
  static bool smooths(const TrainedTask& task) {
    return task_kind(task.kind).traits().smooths_labels && task.head.head.empty() && task.head.label_smoothing > 0;
  }

  void make_model(bool new_run) {
    const bool from_run = new_run && !options_.initial.run_dir.empty();
    const bool pretrained = new_run && !options_.pretrained.folder.empty();
    if (from_run) agree_on_initial_weights(options_.initial, world_);
    model_ = build_model(description_, tasks_.held);
    has_weights_ = check_weights(manifest_, options_.tasks, *model_);
    const torch::ScalarType type = scalar_type(options_.dtype);
    void* memory = nullptr;
    if (device_.is_cpu() && options_.micro_batch == 0) {
      const auto elements = static_cast<std::size_t>(model_->encoder().arena().layout());
      const std::size_t tensors = balance_->reads_gradients() ? gradient_tensors(tasks_.held.size()) : 1;
      gradient_memory_ = world_.allocate("encoder.gradients", tensors * elements * torch::elementSize(type));
      memory = gradient_memory_->data();
    }
    model_->finish(options_.seed, torch::TensorOptions().dtype(type).device(device_), memory);
    if (from_run) origin_ = load_initial_weights(options_.initial, description_, *model_);
    if (pretrained) origin_ = load_pretrained_weights(options_.pretrained, model_->encoder().arena(), world_);
    const IndexRange part = part_of(model_->encoder().arena().values().numel(), world_.rank(), world_.size());
    optimizers_.emplace(*model_, options_.optimizer, options_.shard_optimizer ? &part : nullptr);
    if (world_.rank() == 0) {  // a copy, so that the run folder can be used without the data set
      std::error_code error;
      fs::create_directories(options_.run_dir, error);
      write_file_atomically(options_.run_dir / fs::path(manifest_.tokenizer.file).filename(),
                            read_file(options_.data / manifest_.tokenizer.file));
    }
  }

  void make_gradients() {
    const GradientScope scope{*model_, world_, tasks_.groups, options_.tasks};
    gradients_ = balance_->reads_gradients()
                     ? make_surgery(scope, {*balance_, tasks_.placement.groups, options_.surgery,
                                            options_.shard_optimizer, gradient_memory_.get()})
                 : options_.micro_batch > 0 ? make_exact_gradients(scope, options_.micro_batch)
                                            : make_bucketed_gradients(scope);
    optimizers_->task_buffers = gradients_->task_buffers();
    passes_.emplace(options_, *model_, *teachers_, *balance_, *gradients_, world_);
  }

  // The folder of the checkpoint to continue from, which rank 0 chooses; "": there is none. Collective.
  std::string find_resumed() {
    std::string found;
    if (world_.rank() == 0) {
      std::vector<std::string> warnings;
      const auto fits = [&](const CheckpointState& state) { check_of_this_run(options_, state); };
      if (const auto checkpoint = saver_->store().find(fits, warnings)) found = checkpoint->folder.string();
      for (const std::string& text : warnings) warn("a checkpoint is skipped: " + text);
    }
    return world_.all_gather_strings("resume", found).front();
  }

  void restore(const std::string& folder) {
    state_ = load_resumed(folder, options_, description_, *model_, *optimizers_, tasks_.led, world_,
                          [this](const std::string& text) { warn(text); });
    balance_->restore(state_.balance);
    saved_step_ = state_.step;
    if (options_.micro_batch > 0) check_fingerprint(options_.fingerprint, state_.fingerprint, folder);
  }

  void report_start() {
    std::vector<double> sizes(task_count(), 0);
    for (const std::size_t task : tasks_.led)
      sizes.at(task) = static_cast<double>(model_->head(task).arena().parameter_count());
    world_.all_reduce("head_sizes", sizes);
    if (observers_.empty()) return;
    Observer::Start start;
    start.first_step = state_.step + 1;
    start.steps = options_.steps;
    start.workers = world_.size();
    start.encoder_parameters = model_->encoder().arena().parameter_count();
    for (std::size_t i = 0; i < task_count(); ++i)
      start.head_parameters[options_.tasks[i]] = static_cast<std::int64_t>(sizes[i]);
    start.origin = origin_;
    start.placement = describe(tasks_.placement, options_.tasks);
    start.mixture = describe(options_.mixture, quotas_, options_.tasks, samples_, options_.steps);
    for (const auto& [task, step] : state_.validation.finished)
      start.mixture += fmt::format("{} has been finished since step {}\n", task, step);
    start.valid = describe_valid(manifest_, options_.tasks, options_.eval_samples);
    for (Observer* const observer : observers_) observer->on_start(start);
  }

  // Starts to prepare the batches of the next steps from the current mixture.
  void load_ahead() {
    const std::int64_t last = options_.stop_at > 0 ? std::min(options_.stop_at, options_.steps) : options_.steps;
    batches_.emplace(
        [this, mixture = state_.mixture](std::int64_t number) {
          StepBatches batches{loader_->load(mixture, number, balance_->reads_gradients()), {}};
          if (balance_->reports(number)) batches.by_task = loader_->load(mixture, number, true).batches;
          return batches;
        },
        state_.step + 1, last, static_cast<std::size_t>(options_.prefetch));
  }

  StepBatches next_batches() {
    const Phase phase("loader");
    return batches_->next();
  }

  StepRecord step(std::int64_t number) {
    const auto start = Clock::now();
    trace_.begin_step(number);
    const Phase whole("step");
    const StepBatches batches = next_batches();
    const Loader::Step& loaded = batches.step;
    StepRecord record(task_count(), smooths_, has_weights_);
    record.number = number;
    record.encoder_frozen = encoder_frozen(options_, number);
    require_gradients(model_->encoder().arena(), !record.encoder_frozen);
    for (std::size_t i = 0; i < task_count(); ++i) record.samples[i] = positions(state_.mixture, i, number).count;
    for (const Batch& batch : loaded.batches) record.count(batch);
    record.ids = loaded.ids;
    record.reduce_counts(world_);

    std::optional<SquareMatrix> measured;
    if (balance_->reports(number)) measured = passes_->measure(batches.by_task, record);
    const double measuring = measured ? seconds_since(start) : 0;
    passes_->run(loaded.batches, record);
    world_.synchronize("gradients");  // reading the norms also waits for the device, but does not notice errors of NCCL
    GradientNorms norms = gradient_norms(*model_, record);

    record.finite = record.finite && norms.finite;
    record.interrupted = interrupt_;
    record.save = world_.rank() == 0 && options_.checkpoint_seconds > 0 &&
                  seconds_since(saved_at_) >= options_.checkpoint_seconds;
    record.waited = batches_->waited();
    record.reduce_outcome(world_);
    if (record.square) norms.encoder = std::sqrt(*record.square);
    balance_->store(record);
    if (record.finite) {
      const Phase phase("optimizer");
      optimizers_->update(*model_, norms, options_, number, world_);
    }
    skipped_ = record.finite ? 0 : skipped_ + 1;
    state_.step = number;
    state_.ids_hash = roll_ids(state_.ids_hash, record.ids);
    report_step(record, {.step = number, .seconds = seconds_since(start), .gradient_norm = norms.encoder});
    if (measured) balance_->make_report(record, *measured, {passes_->sketched_size(), measuring});
    report_gradients(record);
    if (skipped_ >= kPatience) end_diverged(options_, number, record, *gradients_, saved_step_ >= 0);
    return record;
  }

  void report_gradients(const StepRecord& record) {
    if (!balance_->report()) return;
    GradientReport report = *std::exchange(balance_->report(), std::nullopt);
    report.sent = record.sent;
    for (Observer* const observer : observers_) observer->on_gradients(record.number, options_.tasks, report);
  }

  // seen: with the values that the record does not have.
  void report_step(const StepRecord& record, Observer::Step seen) {
    losses_.clear();
    seen.lr = record.encoder_frozen ? 0 : learning_rate(options_.optimizer, seen.step, options_.steps);
    for (std::size_t i = 0; i < task_count(); ++i) {
      if (!record.active(i)) continue;
      const std::string& name = options_.tasks[i];
      seen.loss[name] = losses_[name] = record.mean_loss(i);
      seen.weight[name] = balance_->weights()[i];
      const double lr = learning_rate(head_optimizer(options_, i), seen.step, options_.steps);
      if (lr != seen.lr) seen.head_lr[name] = lr;
      if (smooths(description_.tasks[i])) seen.plain_loss[name] = record.mean_plain_loss(i);
    }
    seen.tokens = record.tokens;
    seen.wait = record.waited / world_.size();
    seen.ids_hash = state_.ids_hash;
    seen.skipped = !record.finite;
    for (Observer* const observer : observers_) observer->on_step(seen);
  }

  // Evaluates on valid, and takes the decisions that depend on it, the same on all workers. Returns whether the mixture
  // has changed. After a signal, nothing is decided or reported, and evaluation_due is set.
  bool evaluate_valid() {
    const Phase phase("evaluation");
    const ValidationRound round = validate(
        *model_, description_, {readers_.valid, tasks_.groups, tasks_.led}, *tokenizer_, options_.eval_samples,
        [&] { return interrupt_.load(); }, world_);
    state_.evaluation_due = round.stopped;
    if (round.stopped) return false;
    for (Observer* const observer : observers_) {
      for (const auto& [name, metrics] : round.results) observer->on_eval(state_.step, "valid", name, metrics);
      if (!round.attention.empty())
        observer->on_attention(state_.step, "valid",
                               attention_report(model_->encoder(), round.attention, options_.tasks));
      observer->on_epochs(state_.step, epochs_taken());
    }
    if (!options_.validation.used()) return false;
    std::set<std::string> active;
    for (std::size_t i = 0; i < task_count(); ++i)
      if (positions(state_.mixture, i, state_.step).count > 0) active.insert(options_.tasks[i]);
    const auto finished = take_note(options_.validation, round.results, active, state_.step, state_.validation);
    for (Observer* const observer : observers_)
      for (const std::string& task : finished) observer->on_finished(state_.step, task);
    if (finished.empty() || state_.validation.finished.size() == task_count()) return false;
    std::vector<bool> left;
    for (const std::string& task : options_.tasks) left.push_back(state_.validation.finished.contains(task));
    state_.mixture = without(state_.mixture, left, state_.step + 1, options_.mixture, options_.tasks, samples_);
    return true;
  }

  std::map<std::string, double> epochs_taken() const {
    const std::vector<double> taken = epochs(state_.mixture, samples_, state_.step);
    std::map<std::string, double> result;
    for (std::size_t i = 0; i < task_count(); ++i) result[options_.tasks[i]] = taken[i];
    return result;
  }

  void save() { save({}); }
  TrainResult save_last(Ending ending) {
    save({.last = true, .preempted = ending == Ending::preempted});
    return result(ending);
  }
  void save(SaveRequest request) {
    model_->encoder().arena().check_gradients();
    if (state_.step == saved_step_) return;
    const Phase phase("checkpoint");
    if (world_.rank() == 0) fence().check();
    state_.balance = balance_->state();
    request.losses = losses_;
    request.skipped = skipped_;
    const fs::path folder = saver_->save(state_, *model_, *optimizers_, tasks_.led, request);
    save_late_ = folder.empty() && skipped_ > 0;
    saved_at_ = Clock::now();
    if (folder.empty()) return;
    saved_step_ = state_.step;
    for (Observer* const observer : observers_) observer->on_checkpoint(state_.step, folder, state_.parameter_hash);
  }

  TrainResult result(Ending ending) {
    trace_.end_step(
        state_.step, world_, [this](const std::string& text) { warn(text); }, true);
    const auto kept = [&](std::int64_t best) {  // rank 0 knows if it was saved
      return world_.rank() != 0 || saver_->store().holds(best) ? best : 0;
    };
    std::map<std::string, std::int64_t> best_steps;
    for (const auto& [value, best] : state_.validation.best)
      if (kept(best.step) > 0) best_steps[value] = best.step;
    return {ending,
            state_.step,
            state_.parameter_hash,
            epochs_taken(),
            why_ended(options_.validation, state_.validation),
            kept(state_.validation.run.step),
            best_steps};
  }

  const TrainOptions& options_;
  torch::Device device_;
  std::unique_ptr<Communicator> device_world_;  // null if the given world is enough
  Communicator& world_;
  const Observers& observers_;
  const std::atomic<bool>& interrupt_;
  Manifest manifest_;
  StepTrace trace_;
  std::optional<Balance> balance_;
  ModelDescription description_;
  bool smooths_ = false;                        // smooths() of any task
  bool has_weights_ = false;                    // of samples, of any task
  std::vector<std::uint64_t> samples_;          // of train, by task
  std::vector<std::vector<TaskQuota>> quotas_;  // [phases][tasks]
  TaskGroups tasks_;
  TaskReaders readers_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<CheckpointSaver> saver_;
  std::unique_ptr<SharedBuffer> gradient_memory_;  // outlives the model, whose gradients it holds
  std::unique_ptr<Model> model_;
  std::string origin_;  // which initial weights were loaded, for a person
  std::optional<Optimizers> optimizers_;
  std::optional<Teachers> teachers_;
  std::unique_ptr<Gradients> gradients_;
  std::optional<Passes> passes_;
  CheckpointState state_;
  std::map<std::string, double> losses_;  // of the last step
  int skipped_ = 0;                       // number of consecutive steps up to the last one without an update
  std::int64_t saved_step_ = -1;
  bool save_late_ = false;  // a save waits for a step that is finite
  Clock::time_point saved_at_;
  std::optional<Loader> loader_;
  std::optional<Prefetcher<StepBatches>> batches_;  // its thread uses the loader and balance_
};

}  // namespace

std::optional<TrainResult> train(const TrainOptions& options, Communicator& world, const Observers& observers,
                                 const std::atomic<bool>& interrupt, bool resume) {
  std::optional<Training> training;  // destroyed outside of the handler: all workers must free its groups together
  try {
    training.emplace(options, world, observers, interrupt, resume);
    return training->run();
  } catch (const Interrupted&) {
    return std::nullopt;
  }
}

}  // namespace polyhead
