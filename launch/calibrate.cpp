// Runs short trainings with the trainer itself. Its observer records the seconds and tokens of each step and the
// memory.
#include "launch/calibrate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "distributed/communicator/local/local.h"
#include "distributed/trainer.h"
#include "launch/launcher.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 4;          // over all tasks; the first only warms up
constexpr int kSteps = 2;           // per task and round
constexpr int kWhole = 10;          // steps of the whole mixture; the first two only warm up
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

struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "polyhead-calibrate-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr)
      throw Error(Exit::cannot_write,
                  fmt::format("cannot make a folder like {} for the steps that are measured; set TMPDIR", name));
    path = name;
  }
  ~TemporaryFolder() {
    std::error_code code;
    fs::remove_all(path, code);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  fs::path path;
};

struct Listener : Observer {
  std::vector<Step> steps;
  double memory = 0;
  void on_step(const Step& step) override {
    steps.push_back(step);
    memory = peak_memory();
  }
};

// Trains on this worker alone for this number of steps.
Listener measure(TrainOptions options, std::int64_t steps) {
  const TemporaryFolder folder;
  options.run_dir = folder.path;
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
  for (std::int64_t phase = 0; phase < std::ssize(options.tasks) * kRounds; ++phase) {
    Mixture one{.kind = "explicit", .temperature = 1, .cap = 0, .rates = {}};
    for (const std::string& task : options.tasks) one.rates[task] = 0;
    one.rates[options.tasks[static_cast<std::size_t>(phase) % options.tasks.size()]] = 1;
    options.mixture.phases.push_back({1 + phase * kSteps, one});
  }
  const Listener listener = measure(options, std::ssize(options.mixture.phases) * kSteps);
  std::vector<Point> points;
  for (std::size_t t = 0; t < options.tasks.size(); ++t) {
    std::vector<double> seconds, tokens;
    for (const Observer::Step& step : listener.steps) {
      const auto phase = static_cast<std::size_t>(step.step - 1) / kSteps;
      if (phase % options.tasks.size() != t || phase < options.tasks.size()) continue;
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
  double bandwidth = 0, latency = 0;  // in the units of an all-reduce
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
  const auto node = std::ranges::find(names, hosts[static_cast<std::size_t>(world.rank())]) - names.begin();
  const auto here = world.split("calibrate.node", static_cast<int>(node));
  std::vector<float> plain(encoder_bytes / sizeof(float));
  double within = 0;
  Machine& machine = result.machine;
  if (const int members = here->size(); members > 1) {
    const double moved = 2.0 * (members - 1) / members;
    const Link link = measure_link(*here, plain.data(), encoder_bytes, moved, members);
    machine.node_bandwidth = link.bandwidth, machine.node_latency = link.latency;
    within = moved * static_cast<double>(encoder_bytes) / link.bandwidth;
    const auto window = here->allocate("calibrate.window", encoder_bytes);
    machine.window_bandwidth = measure_link(*here, window->data(), encoder_bytes, moved, members).bandwidth;
  }
  if (result.nodes > 1) {
    const double moved = 2.0 * (result.nodes - 1) / result.nodes;
    const Link link = measure_link(world, plain.data(), encoder_bytes, moved, result.nodes);
    const double both = moved * static_cast<double>(encoder_bytes) / link.bandwidth;
    machine.bandwidth = moved * static_cast<double>(encoder_bytes) / std::max(both - within, 0.1 * both);
    machine.latency = link.latency;
  }
}

}  // namespace

Calibration calibrate(const TrainOptions& given, const Manifest& manifest, Communicator& world) {
  TrainOptions options = given;
  for (auto& [name, task] : options.task_options) task.cost = 0, task.workers.clear();
  const auto tasks = std::ssize(options.tasks);
  Calibration result;
  result.samples = options.mixture.batch = std::max(tasks, given.mixture.batch / world.size());
  Machine& machine = result.machine;
  machine.activations = 1;
  const auto alone = [&](std::int64_t batch) {
    TrainOptions of_batch = options;
    of_batch.mixture.batch = batch;
    return make_plan(of_batch, manifest, machine, {});
  };
  const Plan plan = alone(result.samples);
  const PlannedWorker& all = plan.workers.front();

  // Memory and the whole step. The few samples come first, because peak memory never decreases.
  const auto whole = [&](std::int64_t batch) {
    TrainOptions of_batch = options;
    of_batch.mixture.batch = batch;
    world.barrier("calibrate.whole");
    return measure(of_batch, kWhole);
  };
  const std::int64_t few = std::max(tasks, result.samples / kApart);
  const Listener small = whole(few), large = whole(result.samples);
  const double held = all.parameters + all.gradients + all.optimizer;
  const double counted = all.activations - alone(few).workers.front().activations;
  if (options.device == "cpu") {
    if (counted > 0.1 * all.activations && large.memory > small.memory)
      machine.activations = (large.memory - small.memory) / counted;
    machine.memory = std::max(1e8, large.memory - held - machine.activations * all.activations);
  }
  const auto step_of = [](const Listener& listener) {
    std::vector<double> seconds;
    for (std::size_t i = 2; i < listener.steps.size(); ++i) seconds.push_back(listener.steps[i].seconds);
    return median(seconds);
  };
  result.step_seconds = step_of(large);

  // Training a single task needs no more memory than the mixture.
  double heaviest = 0, mean = 0;
  for (const PlannedTask& task : plan.tasks) {
    heaviest = std::max(heaviest, task.work.activations);
    mean += task.work.activations * static_cast<double>(task.samples) / static_cast<double>(result.samples);
  }
  const auto many = std::max<std::int64_t>(
      2, static_cast<std::int64_t>(static_cast<double>(result.samples) * std::min(1.0, mean / heaviest)));
  world.barrier("calibrate.tasks");
  const std::vector<Point> high = measure_tasks(options, many);
  world.barrier("calibrate.tasks");
  const std::vector<Point> low = measure_tasks(options, std::max<std::int64_t>(1, many / kApart));
  std::vector<double> cost, without;
  for (std::size_t t = 0; t < plan.tasks.size(); ++t) {
    const double slope = (high[t].seconds - low[t].seconds) / (high[t].tokens - low[t].tokens);
    const double most = high[t].seconds / high[t].tokens;
    // Because of noise, few samples can be as slow as many.
    const double token = std::isfinite(slope) ? std::clamp(slope, 0.3 * most, most) : most;
    without.push_back(high[t].seconds - token * high[t].tokens);
    cost.push_back(token * high[t].tokens / static_cast<double>(many));
  }
  double parameters = static_cast<double>(plan.encoder_parameters), added = 0, operations = 0;
  for (std::size_t t = 0; t < plan.tasks.size(); ++t) {
    parameters += static_cast<double>(plan.tasks[t].parameters);
    added += cost[t] * static_cast<double>(plan.tasks[t].samples);
    operations += plan.tasks[t].work.operations * static_cast<double>(plan.tasks[t].samples);
  }
  // The costs of the single tasks only give proportions; they are scaled to the whole step.
  const double overhead = std::min(median(without), 0.5 * result.step_seconds);
  const double scale = (result.step_seconds - overhead) / added;
  std::vector<double> figures = {overhead / parameters, operations / (added * scale), machine.memory,
                                 machine.activations, result.step_seconds};
  for (const double task : cost) figures.push_back(task * scale);
  world.all_reduce("calibrate.figures", figures);
  for (double& figure : figures) figure /= world.size();
  machine.parameter_seconds = std::max(figures[0], 1e-12);
  machine.operations = figures[1];
  machine.memory = figures[2];
  machine.activations = figures[3];
  result.step_seconds = figures[4];
  for (std::size_t t = 0; t < plan.tasks.size(); ++t) result.cost[options.tasks[t]] = figures[5 + t];
  machine.slots = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / std::max(1, options.threads));
  if (world.size() > 1) {
    std::vector<double> crowding = {world.rank() == 0 ? step_of(large) / step_of(measure(options, kWhole)) : 0};
    world.all_reduce("calibrate.crowding", crowding);
    machine.crowding = std::max(1.0, crowding[0]);
    measure_links(world, static_cast<std::size_t>(plan.encoder_parameters) * (options.dtype == "float64" ? 8 : 4),
                  result);
  }
  return result;
}

}  // namespace polyhead
