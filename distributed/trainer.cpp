// The training loop as a worker runs it: a class with a member function for each part of a step.
#include "distributed/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <nlohmann/json.hpp>

#include "core/balancing/balancer.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/grid.h"
#include "core/base/hash.h"
#include "core/heads/model.h"
#include "core/heads/plain_loss.h"
#include "core/model/device.h"
#include "core/model/task_attention.h"
#include "core/optimizer/adamw.h"
#include "datasets/import_plan.h"
#include "datasets/loader.h"
#include "datasets/prefetch.h"
#include "distributed/checkpoint.h"
#include "distributed/checkpoint_saver.h"
#include "distributed/communicator/timeline.h"
#include "distributed/evaluation.h"
#include "distributed/fence.h"
#include "distributed/gradient_sync.h"
#include "distributed/placement.h"
#include "distributed/preflight.h"
#include "distributed/reproducible.h"
#include "distributed/sharding.h"
#include "distributed/statistics.h"
#include "distributed/teacher.h"
#include "distributed/workload.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kSharedPatience = 30;  // seconds until a file of worker 0 is seen by the others
constexpr int kPatience = 10;           // steps in a row without a finite loss before the run counts as diverged

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::int64_t words_of(const Batch& batch, const TaskSlice& slice) {
  const auto first = static_cast<std::size_t>(slice.first_sequence);
  return batch.offsets[first + static_cast<std::size_t>(slice.sequences)] - batch.offsets[first];
}

// Where workers compute on CUDA devices, gradients go from one to another by NCCL.
std::unique_ptr<Communicator> device_world(Communicator& world, torch::Device device, const TrainOptions& options) {
  // How long a worker may wait for another is the watchdog's to say, which knows what the other does.
  constexpr double kNever = 1e9;
  if (!device.is_cuda() || world.size() == 1) return nullptr;
  return make_nccl_communicator(
      world,
      {.device = device.index(), .stream = stream_of(device), .init_timeout = options.init_timeout, .timeout = kNever});
}

// Thrown on all workers where one of them has had a signal before training begins.
struct Interrupted {};

// One training run as a worker sees it.
class Training {
 public:
  Training(const TrainOptions& options, Communicator& world, Observer* observer, const std::atomic<bool>& interrupt,
           bool resume)
      : options_(options),
        device_(choose_device(options.device, options.local_rank)),
        device_world_(device_world(world, device_, options)),
        world_(device_world_ ? *device_world_ : world),
        observer_(observer),
        interrupt_(interrupt),
        manifest_(read_manifest(options.data)) {
    if (world_.rank() == 0) check_checkpoint_folder(options.run_dir);
    at::set_num_threads(options.threads);
    at::globalContext().setFlushDenormal(true);
    check(options.optimizer);
    balancer_ = find_balancer(options.balance);
    description_ = describe_model(options, manifest_);
    for (std::size_t i = 0; i < task_count(); ++i) smooths_ = smooths_ || smooths(i);
    open_data();
    place_tasks();
    end_if_interrupted();
    read_statistics();
    saver_.emplace(
        options.run_dir, options.keep,
        [this](const std::string& warning) {
          if (observer_) observer_->on_warning(warning);
        },
        world_);
    end_if_interrupted();
    std::string found;
    if (resume) found = find_resumed();
    start_from_ = found.empty() && !options.initial.run_dir.empty();
    if (start_from_) agree_on_initial_weights(options.initial, world_);
    make_model();
    try_run_folder(options.run_dir, checkpoint_needs(), kSharedPatience, options.host, world_);
    load_teachers();
    saver_->remember({"config.ini", state_.model.tokenizer.file});
    Fingerprint before;
    if (!found.empty()) restore(found, before);
    if (options.micro_batch > 0) {
      check_fingerprint(options.fingerprint, before, found);
      exact_ = std::make_unique<ExactGradients>(*model_, world_);
    } else {
      sync_ = std::make_unique<GradientSync>(world_, "encoder.gradients", model_->encoder().arena(),
                                             GradientSyncOptions{.during_backward = overlaps(device_)});
    }
    loader_ = std::make_unique<Loader>(loader_tasks_, manifest_.tokenizer, options.seed,
                                       MicroBatches{options.accumulate, options.micro_batch});
  }

  TrainResult run() {
    end_if_interrupted();
    announce();
    // A worker that fails at its first step finds the run folder as rank 0 began it.
    world_.barrier("announce");
    const std::int64_t last = options_.stop_at > 0 ? std::min(options_.stop_at, options_.steps) : options_.steps;
    const auto load_ahead = [&] {
      batches_.emplace([this, mixture = state_.mixture](std::int64_t number) { return loader_->load(mixture, number); },
                       state_.step + 1, last, static_cast<std::size_t>(options_.prefetch));
    };
    saved_at_ = Clock::now();
    const auto result = [&](Ending ending) {
      write_trace();
      return TrainResult{ending,
                         state_.step,
                         state_.parameter_hash,
                         epochs_taken(),
                         why_ended(options_.validation, state_.validation),
                         best_saved()};
    };
    const auto ended = [&] {
      return state_.step == options_.steps || !why_ended(options_.validation, state_.validation).empty();
    };
    if (state_.evaluation_due) {  // what a signal cut short; saved again, so that it is not repeated twice
      evaluate_valid();
      if (state_.evaluation_due) return result(Ending::preempted);
      saved_step_ = -1;
      save();
    }
    load_ahead();
    while (!ended()) {
      if (options_.stop_at > 0 && state_.step >= options_.stop_at) return save(true), result(Ending::stopped);
      const Agreed agreed = step(state_.step + 1);
      if (state_.step == options_.trace_last) write_trace();
      if (state_.step == options_.steps || (options_.eval_every > 0 && state_.step % options_.eval_every == 0))
        if (evaluate_valid() && !ended()) load_ahead();
      if (state_.evaluation_due) return save(true, true), result(Ending::preempted);
      if (ended()) break;
      if (agreed.interrupted) return save(true, true), result(Ending::preempted);
      if ((options_.checkpoint_every > 0 && state_.step % options_.checkpoint_every == 0) || agreed.save ||
          state_.validation.run.step == state_.step || save_late_)
        save();
    }
    save(true);
    return result(Ending::done);
  }

 private:
  struct Agreed {
    bool interrupted = false, save = false;
  };

  // Reading and checking data can take long before the first step.
  void end_if_interrupted() {
    std::vector<std::int64_t> asked = {interrupt_ ? 1 : 0};
    world_.all_reduce("interrupted", asked, Reduce::max);
    if (asked[0] != 0) throw Interrupted{};
  }

  // Whether a task's loss is smoothed by a head that tells the loss without smoothing too.
  bool smooths(std::size_t task) const {
    const TrainedTask& trained = description_.tasks[task];
    return (trained.kind == Kind::classification || trained.kind == Kind::translation) && trained.head.head.empty() &&
           trained.head.label_smoothing > 0;
  }

  std::size_t task_count() const { return description_.tasks.size(); }

  void open_data() {
    samples_ = train_samples(manifest_, options_.tasks);
    quotas_ = phase_quotas(options_.mixture, options_.tasks, samples_);
    state_.mixture = entries_of(options_.mixture, quotas_);
  }

  void place_tasks() {
    placement_ = placement_of(options_, work_of(options_, manifest_, state_.mixture), world_.size());
    for (std::size_t i = 0; i < task_count(); ++i) {
      const auto& group = placement_.groups[i];
      const auto mine = std::ranges::find(group, world_.rank());
      const bool member = mine != group.end();
      // Made in the same order by all.
      groups_.push_back(world_.split("group." + description_.tasks[i].name, member ? 0 : -1));
      if (!member) continue;
      const auto task = static_cast<int>(i);
      held_.push_back(task);
      if (group.front() == world_.rank()) leads_.push_back(task);
      const TaskInfo& info = manifest_.task(description_.tasks[i].name);
      // Parts turn with the task, so that small quotas do not all fall to the first members.
      loader_tasks_.push_back({task, info,
                               std::make_shared<SplitReader>(options_.data, manifest_, info, "train", options_.read),
                               description_.tasks[i].masking,
                               (static_cast<int>(mine - group.begin()) + task) % static_cast<int>(group.size()),
                               static_cast<int>(group.size())});
      // Checked whole before the first step: a run does not train for hours to end at a damaged file.
      ReadOptions whole = options_.read;
      if (whole.verify == Verify::blocks) whole.verify = Verify::open;
      if (const auto valid = info.splits.find("valid"); valid != info.splits.end() && valid->second.samples > 0)
        valid_[task] = std::make_unique<SplitReader>(options_.data, manifest_, info, "valid", whole);
    }
  }

  // The leader of a task's group reads them, all hear of them: rank 0 describes the whole model.
  void read_statistics() {
    nlohmann::json mine = nlohmann::json::object();
    for (const LoaderTask& held : loader_tasks_)
      if (std::ranges::find(leads_, held.task) != leads_.end())
        mine[std::to_string(held.task)] =
            to_json(train_statistics(description_.tasks[static_cast<std::size_t>(held.task)], *held.reader));
    for (const std::string& text : world_.all_gather_strings("statistics", mine.dump())) {
      const auto theirs = nlohmann::json::parse(text);
      for (const auto& task : theirs.items())
        description_.tasks.at(std::stoul(task.key())).statistics =
            statistics_from_json(task.value().get<std::string>());
    }
    for (const auto& [task, reader] : valid_)
      check_input(description_.tasks[static_cast<std::size_t>(task)], "valid", *reader);
  }

  void make_model() {
    model_ = build_model(description_, held_);
    const auto tensor_options = torch::TensorOptions().dtype(scalar_type(options_.dtype)).device(device_);
    void* memory = nullptr;
    if (device_.is_cpu() && options_.micro_batch == 0) {
      const auto elements = static_cast<std::size_t>(model_->encoder().arena().layout());
      gradients_ = world_.allocate("encoder.gradients", elements * torch::elementSize(scalar_type(options_.dtype)));
      memory = gradients_->data();
    }
    model_->finish(options_.seed, tensor_options, memory);
    if (start_from_) origin_ = load_initial_weights(options_.initial, description_, *model_);
    const Stretch part = part_of(model_->encoder().arena().values().numel(), world_.rank(), world_.size());
    optimizers_ = std::make_unique<Optimizers>(*model_, options_.optimizer, options_.shard_optimizer ? &part : nullptr);
    tokenizer_ = load_tokenizer(options_.data, manifest_.tokenizer);
    state_.model = description_;
    state_.fingerprint = options_.fingerprint;
    state_.threads = options_.worker_threads;
    // The run folder can be used without the data set.
    if (world_.rank() == 0) {
      std::error_code error;
      fs::create_directories(options_.run_dir, error);
      write_file_atomically(options_.run_dir / fs::path(manifest_.tokenizer.file).filename(),
                            read_file(options_.data / manifest_.tokenizer.file));
    }
    state_.model.tokenizer.file = fs::path(manifest_.tokenizer.file).filename().string();
  }

  CheckpointNeeds checkpoint_needs() {
    const std::int64_t width = torch::elementSize(scalar_type(options_.dtype)),
                       encoder = model_->encoder().arena().values().numel();
    std::vector<std::int64_t> heads(task_count(), 0);
    for (const int task : leads_) heads[static_cast<std::size_t>(task)] = model_->head(task).arena().values().numel();
    world_.all_reduce("checkpoint.sizes", heads);
    const std::int64_t all = std::accumulate(heads.begin(), heads.end(), encoder),
                       largest = std::max(encoder, std::ranges::max(heads));
    // Parameters, two moments, and the average.
    return {.checkpoint = static_cast<std::uint64_t>(width * all * (options_.optimizer.ema > 0 ? 4 : 3)),
            .largest_file = static_cast<std::uint64_t>(width * largest * 2),
            .count = options_.keep + 1 + (options_.validation.best.empty() ? 0 : 1)};
  }

  const TeacherOptions& teacher_of(const std::string& task) const { return options_.task_options.at(task).teacher; }

  void load_teachers() {
    std::map<std::string, TeacherOptions> all;
    std::map<int, TeacherOptions> mine;
    for (std::size_t i = 0; i < task_count(); ++i) {
      const TeacherOptions& teacher = teacher_of(options_.tasks[i]);
      if (teacher.run_dir.empty()) continue;
      all[options_.tasks[i]] = teacher;
      if (std::ranges::count(held_, static_cast<int>(i)) > 0) mine[static_cast<int>(i)] = teacher;
      if (observer_)
        for (const std::string& warning : teacher.warnings)
          observer_->on_warning(
              fmt::format("task {}: a checkpoint of its teacher is passed over: {}", options_.tasks[i], warning));
    }
    agree_on_teachers(all, world_);
    teachers_ = std::make_unique<Teachers>(mine, description_, options_.device, options_.local_rank, options_.threads);
  }

  // Rank 0 finds a whole checkpoint. -> its folder, empty when there is none.
  std::string find_resumed() {
    std::string found;
    if (world_.rank() == 0) {
      std::vector<std::string> warnings;
      const auto fits = [&](const CheckpointState& state) { check_of_this_run(state); };
      if (const auto checkpoint = saver_->store().find(fits, warnings)) found = checkpoint->folder.string();
      if (observer_)
        for (const std::string& warning : warnings) observer_->on_warning("a checkpoint is passed over: " + warning);
    }
    return world_.all_gather_strings("resume", found).front();
  }

  // All load what they hold of it. -> where it was written
  void restore(const std::string& found, Fingerprint& fingerprint) {
    const CheckpointState state = read_checkpoint_state(found);
    if (state.step > options_.steps)
      throw Error(Exit::config, fmt::format("run.steps = {}: the run has made {} steps already; give {} or more",
                                            options_.steps, state.step, state.step));
    fingerprint = state.fingerprint;
    if (observer_ && !state.threads.empty() && state.threads != options_.worker_threads)
      observer_->on_warning(fmt::format(
          "threads of a worker: {} before, {} now (run.threads); with another number of threads the bits are not those "
          "of a run that was never interrupted",
          threads_by_worker(state.threads), threads_by_worker(options_.worker_threads)));
    load_checkpoint(found, state, *model_, optimizers_.get());
    if (const std::uint64_t loaded = parameter_hash(*model_, description_, leads_, world_);
        loaded != state.parameter_hash)
      throw Error(Exit::data, fmt::format("{}: the parameters that worker {} loaded have the hash {}, expected {}",
                                          found, world_.rank(), to_hex(loaded), to_hex(state.parameter_hash)));
    state_.step = state.step;
    state_.ids_hash = state.ids_hash;
    state_.parameter_hash = state.parameter_hash;
    state_.mixture = state.mixture;
    state_.validation = state.validation;
    state_.evaluation_due = state.evaluation_due;
    saved_step_ = state.step;
  }

  // Throws Error(data) for the checkpoint of another run, which may be copied here.
  void check_of_this_run(const CheckpointState& state) const {
    std::vector<std::string> tasks;
    for (const TrainedTask& task : state.model.tasks) tasks.push_back(task.name);
    if (tasks != options_.tasks)
      throw Error(Exit::data, fmt::format("the checkpoint of step {} is of the tasks {}, this run is of {}: it belongs "
                                          "to another run",
                                          state.step, fmt::join(tasks, ", "), fmt::join(options_.tasks, ", ")));
    const std::vector<std::int64_t>& quota = state.mixture.front().quota;
    if (const auto batch = std::accumulate(quota.begin(), quota.end(), std::int64_t{0});
        batch != options_.mixture.batch)
      throw Error(Exit::data, fmt::format("the checkpoint of step {} has mixture[0].quota of {} samples a step, but "
                                          "mixture.batch is {}: it belongs to another run",
                                          state.step, batch, options_.mixture.batch));
  }

  void announce() {
    std::vector<double> sizes(task_count(), 0);
    for (const int task : leads_)
      sizes[static_cast<std::size_t>(task)] = static_cast<double>(model_->head(task).arena().parameter_count());
    world_.all_reduce("head_sizes", sizes);
    if (!observer_) return;
    Observer::Start start;
    start.first_step = state_.step + 1;
    start.steps = options_.steps;
    start.workers = world_.size();
    start.encoder_parameters = model_->encoder().arena().parameter_count();
    for (std::size_t i = 0; i < task_count(); ++i)
      start.head_parameters[description_.tasks[i].name] = static_cast<std::int64_t>(sizes[i]);
    start.origin = origin_;
    start.placement = describe(placement_, options_.tasks);
    start.mixture = describe(options_.mixture, quotas_, options_.tasks, samples_, options_.steps);
    for (const auto& [task, step] : state_.validation.finished)
      start.mixture += fmt::format("{} is finished since step {}\n", task, step);
    start.valid = describe_valid();
    observer_->on_start(start);
  }

  // Which tasks are evaluated on a part of valid; "" when none is.
  std::string describe_valid() const {
    std::string tasks;
    for (const std::string& name : options_.tasks) {
      const auto& splits = manifest_.task(name).splits;
      const auto valid = splits.find("valid");
      if (valid == splits.end() || options_.eval_samples == 0) continue;
      if (valid->second.samples <= static_cast<std::uint64_t>(options_.eval_samples)) continue;
      tasks += fmt::format("{}{} ({})", tasks.empty() ? "" : ", ", name, grouped(valid->second.samples));
    }
    if (tasks.empty()) return "";
    return fmt::format(
        "evaluations take {} samples of valid, the same ones each time and spread over the split, of {}; "
        "run.eval_samples = 0 takes all",
        grouped(static_cast<std::uint64_t>(options_.eval_samples)), tasks);
  }

  static void sum_gradient(Communicator& group, const std::string& name, const torch::Tensor& gradient) {
    if (gradient.is_cuda() && group.size() == 1) return;  // nothing to add, and NCCL is only there for several
    const DType type = gradient.scalar_type() == torch::kFloat64 ? DType::f64 : DType::f32;
    group.all_reduce(name, gradient.data_ptr(), static_cast<std::size_t>(gradient.numel()), type, Reduce::sum);
  }

  // Of each task in a step, on all workers together.
  std::vector<std::int64_t> micro_batches(std::int64_t number) const {
    std::vector<std::int64_t> result;
    for (std::size_t i = 0; i < task_count(); ++i)
      result.push_back((positions(state_.mixture, i, number).count + options_.micro_batch - 1) / options_.micro_batch);
    return result;
  }

  Agreed step(std::int64_t number) {
    const auto start = Clock::now();
    Timeline::of_process().set_step(number);
    if (!tracing_ && number >= options_.trace_first && number <= options_.trace_last) {
      tracing_ = true;
      Timeline::of_process().start_trace();
    }
    const Phase whole("step");
    std::optional<Phase> phase(std::in_place, "loader");
    const Loader::Step loaded = batches_->next();
    phase.reset();

    // Counts of valid targets over the whole group of each task, tokens, ids, then each task's words: all workers have
    // them before backward.
    const std::size_t words_at = task_count() + 2;
    std::vector<std::int64_t> counts(words_at + task_count(), 0);
    for (const Batch& batch : loaded.batches) {
      for (const TaskSlice& slice : batch.slices) {
        counts[static_cast<std::size_t>(slice.task)] += slice.count;
        counts[words_at + static_cast<std::size_t>(slice.task)] += words_of(batch, slice);
      }
      counts[task_count()] += batch.token_count();
    }
    counts[task_count() + 1] = static_cast<std::int64_t>(loaded.ids);
    world_.all_reduce("counts", counts);

    BalanceInput input;
    for (std::size_t i = 0; i < task_count(); ++i) {
      input.active.push_back(counts[i] > 0);
      input.static_weight.push_back(options_.task_options.at(options_.tasks[i]).weight);
    }
    const std::vector<double> weights = balancer_(input);

    model_->encoder().arena().gradients().zero_();
    for (const auto& [task, head] : model_->heads()) head->arena().gradients().zero_();
    if (exact_) exact_->begin(micro_batches(number));
    bool finite = true;
    // losses, then flags: not finite, interrupted, time to save; then seconds waited for data; then, where a task
    // smooths its labels, the losses without smoothing
    const std::size_t plain_at = task_count() + 4;
    std::vector<double> agreed(plain_at + (smooths_ ? task_count() : 0), 0);
    // Micro-batches add to the same gradients, one after another; the last one's complete them.
    const Batch* last = nullptr;
    for (const Batch& batch : loaded.batches)
      if (!batch.slices.empty()) last = &batch;
    for (const Batch& batch : loaded.batches) {
      if (batch.slices.empty()) continue;
      phase.emplace("loader");
      const std::map<std::size_t, Lesson> lessons = teachers_->read(batch);
      phase.emplace("forward");
      const std::vector<HeadInput> inputs = model_->forward(batch, true);
      torch::Tensor total;
      std::vector<torch::Tensor> sums, plain;
      PlainLoss plain_loss;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const TaskSlice& slice = batch.slices[i];
        const auto task = static_cast<std::size_t>(slice.task);
        const auto add = [&](const torch::Tensor& sum, double weight, std::int64_t count) {
          const torch::Tensor share = sum * (weight / static_cast<double>(count));
          total = total.defined() ? total + share : share;
        };
        sums.emplace_back();
        plain.emplace_back();
        if (slice.count > 0) {
          const Head& head = model_->head(slice.task);
          const auto lesson = lessons.find(i);
          sums.back() = lesson == lessons.end() ? head.loss(inputs[i], slice)
                                                : head.distilled_loss(inputs[i], slice, lesson->second.distillation());
          plain.back() = plain_loss.take();
          add(sums.back(), weights[task], counts[task]);
        }
        // Of an active task also on a worker whose words have no target: what is added depends on no placement.
        if (options_.attention.entropy_bonus > 0 && counts[task] > 0)
          add(task_entropy(inputs[i].task_weights, model_->encoder().first_slot()).sum(),
              -weights[task] * options_.attention.entropy_bonus, counts[words_at + task]);
      }
      if (sync_ && &batch == last) sync_->start();
      phase.emplace("backward");
      if (total.defined()) total.backward();
      if (exact_) finite = exact_->take(batch.slices.front().task) && finite;
      for (std::size_t i = 0; i < sums.size(); ++i) {
        if (!sums[i].defined()) continue;
        const auto loss = sums[i].item<double>();
        const auto task = static_cast<std::size_t>(batch.slices[i].task);
        agreed[task] += exact_ ? on_grid(loss) : loss;
        if (!plain[i].defined() || !smooths_) continue;
        const auto without = plain[i].item<double>();
        agreed[plain_at + task] += exact_ ? on_grid(without) : without;
      }
      phase.reset();
    }

    Arena& encoder = model_->encoder().arena();
    if (exact_) {
      exact_->give(world_, groups_, options_.tasks);
    } else {
      sync_->finish();
      for (const int task : held_) {
        const auto i = static_cast<std::size_t>(task);
        if (counts[i] > 0)
          sum_gradient(*groups_[i], "head." + options_.tasks[i], model_->head(task).arena().gradients());
      }
    }
    world_.synchronize("gradients");  // the norms wait for the device anyway, but would not see an error of NCCL
    const double encoder_norm = flat_norm(encoder.gradients());
    std::map<int, double> head_norms;
    finite = finite && std::isfinite(encoder_norm);
    for (const int task : held_) {
      if (counts[static_cast<std::size_t>(task)] == 0) continue;
      head_norms[task] = flat_norm(model_->head(task).arena().gradients());
      finite = finite && std::isfinite(head_norms[task]);
    }
    agreed[task_count()] = finite ? 0 : 1;
    agreed[task_count() + 1] = interrupt_ ? 1 : 0;
    if (world_.rank() == 0 && options_.checkpoint_seconds > 0 &&
        seconds_since(saved_at_) >= options_.checkpoint_seconds)
      agreed[task_count() + 2] = 1;
    agreed[task_count() + 3] = batches_->waited();
    world_.all_reduce("losses", agreed);

    const bool skipped = agreed[task_count()] > 0;
    const double lr = learning_rate(options_.optimizer, number, options_.steps);
    if (!skipped) {
      const Phase updating("optimizer");
      optimizers_->encoder.step(encoder, options_.optimizer, lr, clip_scale(encoder_norm, options_.optimizer.clip));
      if (options_.shard_optimizer) share_parts(world_, encoder.values());
      for (const auto& [task, head_norm] : head_norms)
        optimizers_->heads.at(task).step(model_->head(task).arena(), options_.optimizer, lr,
                                         clip_scale(head_norm, options_.optimizer.head_clip));
    }
    losses_.clear();
    for (std::size_t i = 0; i < task_count(); ++i)
      if (counts[i] > 0) losses_[options_.tasks[i]] = agreed[i] / static_cast<double>(counts[i]);
    state_.step = number;
    state_.ids_hash = roll_ids(state_.ids_hash, static_cast<std::uint64_t>(counts[task_count() + 1]));
    if (observer_) {
      Observer::Step seen{.step = number,
                          .loss = {},
                          .weight = {},
                          .plain_loss = {},
                          .tokens = counts[task_count()],
                          .seconds = seconds_since(start),
                          .wait = agreed[task_count() + 3] / world_.size(),
                          .ids_hash = state_.ids_hash,
                          .lr = lr,
                          .gradient_norm = encoder_norm,
                          .skipped = skipped};
      for (std::size_t i = 0; i < task_count(); ++i) {
        if (counts[i] == 0) continue;
        seen.loss[options_.tasks[i]] = losses_.at(options_.tasks[i]);
        seen.weight[options_.tasks[i]] = weights[i];
        if (smooths(i)) seen.plain_loss[options_.tasks[i]] = agreed[plain_at + i] / static_cast<double>(counts[i]);
      }
      observer_->on_step(seen);
    }
    skipped_ = skipped ? skipped_ + 1 : 0;
    if (skipped_ >= kPatience) {
      std::string tasks;
      for (std::size_t i = 0; i < task_count(); ++i)
        if (!std::isfinite(agreed[i])) tasks += (tasks.empty() ? "" : ", ") + options_.tasks[i];
      throw Error(
          Exit::diverged,
          fmt::format(
              "step {}: {} steps in a row had a loss or gradient that is not finite{}{}; none of them changed the "
              "model. {}",
              number, kPatience,
              exact_ ? fmt::format(", or has an element of {} or more, which is too large for run.reproducible = world",
                                   ExactSum::kLargest)
                     : "",
              tasks.empty() ? "" : " (tasks " + tasks + ")", advice_after_divergence()));
    }
    return {agreed[task_count() + 1] > 0, agreed[task_count() + 2] > 0};
  }

  // A command that starts a run from the last good checkpoint; the error's reader may copy it.
  std::string advice_after_divergence() const {
    const std::string lr = fmt::format("--optimizer.lr {:g}", options_.optimizer.lr / 10);
    if (saved_step_ < 0) return "Train in a new run folder with a lower learning rate, as by " + lr;
    const auto quoted = [](const std::string& path) {
      std::string out = "'";
      for (const char c : path) out += c == '\'' ? "'\\''" : std::string(1, c);
      return out + "'";
    };
    const std::string run = options_.run_dir.string();
    return fmt::format(
        "Start a new run from the last checkpoint with a lower learning rate: polyhead train --init-from {} --run-dir "
        "{} {}",
        quoted(run), quoted(run + "-lower-lr"), lr);
  }

  // One file of all workers: what each did since step trace_first began.
  void write_trace() {
    if (!tracing_) return;
    tracing_ = false;
    const auto events = Timeline::of_process().stop_trace();
    const auto all = world_.all_gather_strings("trace", chrome_trace_lines(events, world_.rank(), options_.host));
    if (world_.rank() != 0) return;
    std::string text = "[\n";
    for (const std::string& lines : all) text += lines;
    text.replace(text.size() - 2, 2, "\n]\n");  // no comma after the last
    std::error_code error;
    fs::create_directories(options_.run_dir / "trace", error);
    try {
      write_file_atomically(
          options_.run_dir / "trace" / fmt::format("steps-{}-{}.json", options_.trace_first, options_.trace_last),
          text);
    } catch (const Error& failure) {  // what the run can do without does not end it
      if (observer_) observer_->on_warning(fmt::format("{}: the trace is not written", failure.what()));
    }
  }

  // Every group evaluates its tasks on valid; all hear of it and decide alike. -> whether the mixture has changed.
  // Where a signal has come to a worker meanwhile, nothing is decided or told and evaluation_due is set.
  bool evaluate_valid() {
    const Phase phase("evaluation");
    nlohmann::json mine = nlohmann::json::object();
    std::vector<AttentionSums> attention(task_count());
    bool cut = false;  // a member of one of this worker's groups has had a signal
    for (const auto& [task, reader] : valid_) {
      const EvaluationRequest request{
          .samples = options_.eval_samples, .generate = false, .baseline = nullptr, .stop = [&] {
            return cut || interrupt_;
          }};
      const Evaluation evaluation = evaluate(*model_, description_, task, "valid", *reader, *tokenizer_, request,
                                             *groups_[static_cast<std::size_t>(task)]);
      cut = cut || evaluation.stopped;
      if (cut || std::ranges::find(leads_, task) == leads_.end()) continue;
      mine[description_.tasks[static_cast<std::size_t>(task)].name] = evaluation.metrics;
      attention[static_cast<std::size_t>(task)] = evaluation.attention;
    }
    const auto all = world_.all_gather_strings("evaluate.results", mine.dump());
    std::vector<double> flat;
    for (AttentionSums& sums : attention) sums.each([&](double value) { flat.push_back(value); });
    flat.push_back(cut ? 1 : 0);
    world_.all_reduce("evaluate.attention", flat);
    state_.evaluation_due = flat.back() > 0;
    if (state_.evaluation_due) return false;
    std::size_t at = 0;
    std::map<int, AttentionSums> measured;
    for (std::size_t i = 0; i < task_count(); ++i) {
      attention[i].each([&](double& value) { value = flat[at++]; });
      if (attention[i].words > 0) measured[static_cast<int>(i)] = attention[i];
    }
    ValidationResults results;
    for (const std::string& text : all) {
      const auto theirs = nlohmann::json::parse(text);
      for (const auto& task : theirs.items())
        for (const auto& metric : task.value().items())  // JSON has null where a number is not finite
          results[task.key()][metric.key()] =
              metric.value().is_null() ? std::numeric_limits<double>::quiet_NaN() : metric.value().get<double>();
    }
    if (observer_) {
      for (const auto& [name, metrics] : results) observer_->on_eval(state_.step, "valid", name, metrics);
      if (!measured.empty())
        observer_->on_attention(state_.step, "valid", attention_report(model_->encoder(), measured, options_.tasks));
      observer_->on_epochs(state_.step, epochs_taken());
    }
    if (!options_.validation.used()) return false;
    std::set<std::string> active;
    for (std::size_t i = 0; i < task_count(); ++i)
      if (positions(state_.mixture, i, state_.step).count > 0) active.insert(options_.tasks[i]);
    const auto finished = take_note(options_.validation, results, active, state_.step, state_.validation);
    if (observer_)
      for (const std::string& task : finished) observer_->on_finished(state_.step, task);
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

  // The step of the best checkpoint, 0 where there is none. Rank 0 knows whether it could be saved.
  std::int64_t best_saved() {
    const std::int64_t best = state_.validation.run.step;
    return world_.rank() != 0 || saver_->store().holds(best) ? best : 0;
  }

  // last: no later save follows; preempted: as a signal ended training.
  void save(bool last = false, bool preempted = false) {
    model_->encoder().arena().check_gradients();
    if (state_.step == saved_step_) return;
    const Phase phase("checkpoint");
    if (world_.rank() == 0) fence().check();
    const fs::path folder =
        saver_->save(state_, *model_, *optimizers_, leads_,
                     {.losses = losses_, .skipped = skipped_, .last = last, .preempted = preempted});
    save_late_ = folder.empty() && skipped_ > 0;
    saved_at_ = Clock::now();
    if (folder.empty()) return;
    saved_step_ = state_.step;
    if (observer_) observer_->on_checkpoint(state_.step, folder, state_.parameter_hash);
  }

  const TrainOptions& options_;
  torch::Device device_;
  std::unique_ptr<Communicator> device_world_;  // null where the world is enough
  Communicator& world_;
  Observer* observer_;
  const std::atomic<bool>& interrupt_;
  Manifest manifest_;
  Balancer balancer_ = nullptr;
  ModelDescription description_;
  std::vector<std::uint64_t> samples_;          // of train, by task
  std::vector<std::vector<TaskQuota>> quotas_;  // [phases][tasks]
  Placement placement_;
  std::vector<std::unique_ptr<Communicator>> groups_;  // by task; null where this worker is no member
  std::vector<int> held_, leads_;                      // tasks, ascending
  std::vector<LoaderTask> loader_tasks_;
  std::unique_ptr<Loader> loader_;
  std::map<int, std::unique_ptr<SplitReader>> valid_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<SharedBuffer> gradients_;  // outlives the model, whose gradients lie in it
  std::unique_ptr<Model> model_;
  std::unique_ptr<ExactGradients> exact_;  // null: the same bits on the same number of workers only
  std::unique_ptr<GradientSync> sync_;     // in its place then
  std::unique_ptr<Optimizers> optimizers_;
  std::unique_ptr<Teachers> teachers_;
  CheckpointState state_;
  std::optional<CheckpointSaver> saver_;
  std::int64_t saved_step_ = -1;
  bool save_late_ = false;                // a save waits for a step that is finite
  std::map<std::string, double> losses_;  // of the last step
  bool start_from_ = false;               // fresh, from options_.initial
  std::string origin_;                    // in words
  int skipped_ = 0;
  bool smooths_ = false;  // any of the tasks
  bool tracing_ = false;
  Clock::time_point saved_at_;
  std::optional<Prefetcher<Loader::Step>> batches_;  // its thread uses what is above
};

}  // namespace

std::optional<TrainResult> train(const TrainOptions& options, Communicator& world, Observer* observer,
                                 const std::atomic<bool>& interrupt, bool resume) {
  std::optional<Training> training;  // ends outside of the handler: what it frees is freed by all workers together
  try {
    training.emplace(options, world, observer, interrupt, resume);
    return training->run();
  } catch (const Interrupted&) {
    return std::nullopt;
  }
}

}  // namespace polyhead
