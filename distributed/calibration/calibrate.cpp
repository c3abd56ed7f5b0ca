// Runs short trainings with the trainer itself. Its observer records the seconds and tokens of each step and the
// memory.
#include "distributed/calibration/calibrate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "core/base/at.h"
#include "core/base/host.h"
#include "core/base/temporary_folder.h"
#include "distributed/communicator/local/local.h"
#include "distributed/training/trainer.h"

namespace polyhead {
namespace {

constexpr int kRounds = 4;          // each trains all tasks; the first is a warm-up
constexpr int kSteps = 2;           // per task and round
constexpr int kWhole = 10;          // steps of the whole mixture; the first two are a warm-up
constexpr std::int64_t kApart = 4;  // ratio of the two batch sizes

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Returns the peak memory of this process so far, in bytes.
double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return 1024 * std::strtod(line.c_str() + 6, nullptr);
  return 0;
}

struct Listener : Observer {
  std::vector<Step> steps;
  double memory = 0;
  void on_step(const Step& step) override {
    steps.push_back(step);
    memory = peak_memory();
  }

  // Returns the median seconds of the steps after the first two.
  double step_seconds() const {
    std::vector<double> seconds;
    for (std::size_t i = 2; i < steps.size(); ++i) seconds.push_back(steps[i].seconds);
    return median(seconds);
  }
};

// Trains on this worker alone for this number of steps.
Listener measure(TrainOptions options, std::int64_t steps) {
  const TemporaryFolder folder("calibrate");
  options.run_dir = folder.path();
  options.steps = steps + 1;  // the run does not reach its end, so it does not evaluate
  options.stop_at = steps;
  options.eval_every = options.checkpoint_every = 0;
  options.checkpoint_seconds = 0;
  options.validation = {};
  for (auto& [name, task] : options.task_options) task.workers.clear();
  const auto alone = make_local_communicator();
  const std::atomic<bool> never = false;
  Listener listener;
  train(options, *alone, {&listener}, never, false);
  return listener;
}

struct Point {
  double seconds = 0, tokens = 0;  // medians per step
};

// Trains each task alone with `batch` samples per step. Returns one point per task.
std::vector<Point> measure_tasks(TrainOptions options, std::int64_t batch) {
  options.mixture = {.batch = batch, .phases = {}};
  for (int round = 0; round < kRounds; ++round)
    for (const std::string& chosen : options.tasks) {
      Mixture one{.kind = "explicit", .temperature = 1, .cap = 0, .rates = {}};
      for (const std::string& task : options.tasks) one.rates[task] = task == chosen ? 1 : 0;
      options.mixture.phases.push_back({1 + std::ssize(options.mixture.phases) * kSteps, one});
    }
  const Listener listener = measure(options, std::ssize(options.mixture.phases) * kSteps);
  std::vector<Point> points;
  const std::int64_t tasks = std::ssize(options.tasks);
  for (std::int64_t t = 0; t < tasks; ++t) {
    std::vector<double> seconds, tokens;
    for (const Observer::Step& step : listener.steps) {
      const std::int64_t phase = (step.step - 1) / kSteps;
      if (phase % tasks != t || phase < tasks) continue;
      seconds.push_back(step.seconds);
      tokens.push_back(static_cast<double>(step.tokens));
    }
    points.push_back({median(seconds), median(tokens)});
  }
  return points;
}

// Returns the seconds of an all-reduce of `bytes`: for each repetition the slowest member's time, and of these the
// lower quartile, because a member that waits for a processor says nothing about the link.
double reduce_seconds(Communicator& group, void* data, std::size_t bytes, int times) {
  std::vector<double> taken;
  for (int i = 0; i < times + 2; ++i) {
    group.barrier("calibrate");
    const auto start = std::chrono::steady_clock::now();
    group.all_reduce("calibrate.reduce", data, bytes / sizeof(float), DType::f32, Reduce::sum);
    std::vector<double> slowest = {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
    group.all_reduce("calibrate.seconds", slowest, Reduce::max);
    if (i >= 2) taken.push_back(slowest[0]);
  }
  std::ranges::sort(taken);
  return taken[taken.size() / 4];
}

struct Link {
  double bandwidth = 0, latency = 0;  // as in Machine
};

Link measure_link(Communicator& group, void* data, std::size_t bytes, double moved, int members) {
  std::vector<float> small(16);
  const double least = reduce_seconds(group, small.data(), small.size() * sizeof(float), 50);
  const double whole = reduce_seconds(group, data, bytes, 9);
  return {moved * static_cast<double>(bytes) / std::max(whole - least, 0.5 * whole),
          std::min(least, 0.5 * whole) / (2 * std::ceil(std::log2(members)))};
}

// Measures links within this node and between nodes, as far as there are any.
void measure_links(Communicator& world, std::size_t encoder_bytes, Calibration& result) {
  const std::vector<std::string> hosts = world.all_gather_strings("calibrate.hosts", host_name());
  const std::vector<std::string> names = [&] {
    const std::set<std::string> once(hosts.begin(), hosts.end());
    return std::vector<std::string>(once.begin(), once.end());
  }();
  result.nodes = static_cast<int>(names.size());
  const auto node = std::ranges::find(names, at(hosts, world.rank())) - names.begin();
  const auto here = world.split("calibrate.node", static_cast<int>(node));
  std::vector<float> plain(encoder_bytes / sizeof(float));
  const auto whole = static_cast<double>(encoder_bytes);
  double within = 0;
  Machine& machine = result.machine;
  if (const int members = here->size(); members > 1) {
    const double moved = 2.0 * (members - 1) / members;
    const Link link = measure_link(*here, plain.data(), encoder_bytes, moved, members);
    machine.node_bandwidth = link.bandwidth;
    machine.node_latency = link.latency;
    within = moved * whole / link.bandwidth;
    const auto window = here->allocate("calibrate.window", encoder_bytes);
    machine.window_bandwidth = measure_link(*here, window->data(), encoder_bytes, moved, members).bandwidth;
  }
  if (result.nodes > 1) {
    const double moved = 2.0 * (result.nodes - 1) / result.nodes;
    const Link link = measure_link(world, plain.data(), encoder_bytes, moved, result.nodes);
    const double both = moved * whole / link.bandwidth;
    machine.bandwidth = moved * whole / std::max(both - within, 0.1 * both);
    machine.latency = link.latency;
  }
}

// The results of training each task alone.
struct TaskSeconds {
  std::vector<double> sample;      // [tasks]
  std::vector<double> empty_step;  // [tasks] of a step without samples
};

// The seconds of a step grow linearly with its tokens. high: with `batch` samples per step; low: with fewer.
TaskSeconds seconds_of(const std::vector<Point>& high, const std::vector<Point>& low, std::int64_t batch) {
  TaskSeconds result;
  for (std::size_t t = 0; t < high.size(); ++t) {
    const double slope = (high[t].seconds - low[t].seconds) / (high[t].tokens - low[t].tokens);
    const double most = high[t].seconds / high[t].tokens;
    // Because of noise, few samples can be as slow as many.
    const double token = std::isfinite(slope) ? std::clamp(slope, 0.3 * most, most) : most;
    result.empty_step.push_back(high[t].seconds - token * high[t].tokens);
    result.sample.push_back(token * high[t].tokens / static_cast<double>(batch));
  }
  return result;
}

// Takes the measurements, in the order of the public functions.
class Calibrator {
 public:
  Calibrator(const TrainOptions& options, const Manifest& manifest, Communicator& world)
      : options_(options), manifest_(manifest), world_(world) {
    for (auto& [name, task] : options_.task_options) {
      task.cost = 0;
      task.workers.clear();
    }
    result_.samples = options_.mixture.batch = std::max(tasks(), options.mixture.batch / world.size());
    result_.machine.activations = 1;
    plan_ = plan_alone(result_.samples);
  }

  // Trains the whole mixture at two batch sizes. Sets the memory of a worker and the seconds of its step.
  void measure_whole_steps() {
    // The few samples come first, because peak memory never decreases.
    const std::int64_t few = std::max(tasks(), result_.samples / kApart);
    const Listener small = train_whole(few), large = train_whole(result_.samples);
    result_.step_seconds = step_seconds_ = large.step_seconds();
    const PlannedWorker& all = plan_.workers.front();
    const double held = all.parameters + all.gradients + all.optimizer;
    const double counted = all.activations - plan_alone(few).workers.front().activations;
    if (options_.device != "cpu") return;
    Machine& machine = result_.machine;
    if (counted > 0.1 * all.activations && large.memory > small.memory)
      machine.activations = (large.memory - small.memory) / counted;
    machine.memory = std::max(1e8, large.memory - held - machine.activations * all.activations);
  }

  // Trains each task alone. Sets the costs of the tasks and the figures of the machine that follow from them, as the
  // means over all workers.
  void measure_task_costs() {
    const std::int64_t many = single_task_batch();
    world_.barrier("calibrate.tasks");
    const std::vector<Point> high = measure_tasks(options_, many);
    world_.barrier("calibrate.tasks");
    const std::vector<Point> low = measure_tasks(options_, std::max<std::int64_t>(1, many / kApart));
    const TaskSeconds seconds = seconds_of(high, low, many);
    double parameters = static_cast<double>(plan_.encoder_parameters), added = 0, operations = 0;
    for (std::size_t t = 0; t < plan_.tasks.size(); ++t) {
      const auto samples = static_cast<double>(plan_.tasks[t].samples);
      parameters += static_cast<double>(plan_.tasks[t].parameters);
      added += seconds.sample[t] * samples;
      operations += plan_.tasks[t].work.operations * samples;
    }
    // The costs of the single tasks only give proportions; they are scaled to the whole step.
    const double overhead = std::min(median(seconds.empty_step), 0.5 * step_seconds_);
    const double scale = (step_seconds_ - overhead) / added;
    Machine& machine = result_.machine;
    std::vector<double> figures = {overhead / parameters, operations / (added * scale), machine.memory,
                                   machine.activations, step_seconds_};
    for (const double task : seconds.sample) figures.push_back(task * scale);
    world_.all_reduce("calibrate.figures", figures);
    for (double& figure : figures) figure /= world_.size();
    machine.parameter_seconds = std::max(figures[0], 1e-12);
    machine.operations = figures[1];
    machine.memory = figures[2];
    machine.activations = figures[3];
    result_.step_seconds = figures[4];
    for (std::size_t t = 0; t < options_.tasks.size(); ++t) result_.cost[options_.tasks[t]] = figures[5 + t];
  }

  // Compares the speed of a worker among others with that of one alone, and measures the links.
  void measure_world() {
    Machine& machine = result_.machine;
    const auto cores = std::max(1U, std::thread::hardware_concurrency());
    machine.slots = std::max<std::int64_t>(1, cores / std::max(1, options_.threads));
    if (world_.size() == 1) return;
    std::vector<double> crowding = {world_.rank() == 0 ? step_seconds_ / measure(options_, kWhole).step_seconds() : 0};
    world_.all_reduce("calibrate.crowding", crowding);
    machine.crowding = std::max(1.0, crowding[0]);
    measure_links(world_, static_cast<std::size_t>(plan_.encoder_parameters) * (options_.dtype == "float64" ? 8 : 4),
                  result_);
  }

  Calibration result() const { return result_; }

 private:
  std::int64_t tasks() const { return std::ssize(options_.tasks); }

  TrainOptions with_batch(std::int64_t batch) const {
    TrainOptions options = options_;
    options.mixture.batch = batch;
    return options;
  }

  Plan plan_alone(std::int64_t batch) const { return make_plan(with_batch(batch), manifest_, result_.machine, {}); }

  Listener train_whole(std::int64_t batch) const {
    world_.barrier("calibrate.whole");
    return measure(with_batch(batch), kWhole);
  }

  // Returns the number of samples with which training a single task needs no more memory than the mixture.
  std::int64_t single_task_batch() const {
    const auto samples = static_cast<double>(result_.samples);
    double heaviest = 0, mean = 0;
    for (const PlannedTask& task : plan_.tasks) {
      heaviest = std::max(heaviest, task.work.activations);
      mean += task.work.activations * static_cast<double>(task.samples) / samples;
    }
    return std::max<std::int64_t>(2, static_cast<std::int64_t>(samples * std::min(1.0, mean / heaviest)));
  }

  TrainOptions options_;
  const Manifest& manifest_;
  Communicator& world_;
  Calibration result_;
  Plan plan_;                // of one worker alone, with one byte used for each byte of activations
  double step_seconds_ = 0;  // of this worker
};

}  // namespace

Calibration calibrate(const TrainOptions& options, const Manifest& manifest, Communicator& world) {
  Calibrator calibrator(options, manifest, world);
  calibrator.measure_whole_steps();
  calibrator.measure_task_costs();
  calibrator.measure_world();
  return calibrator.result();
}

}  // namespace polyhead
