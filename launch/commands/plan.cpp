// polyhead plan: prints what a run needs on N workers as a table or JSON, and calibrates the figures for it.
#include "distributed/planning/plan.h"
#include "distributed/calibration/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/text.h"
#include "launch/commands/commands.h"
#include "launch/handshake.h"
#include "launch/host.h"
#include "launch/machine.h"
#include "launch/run_options.h"
#include "launch/say.h"
#include "launch/table.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

using nlohmann::json;

constexpr std::size_t kRows = 40;   // maximum number of workers in the table
constexpr std::size_t kWidth = 48;  // maximum width of the heads' names
constexpr int kMostWorkers = 1'000'000;

std::string heads_of(const Plan& plan, const PlannedWorker& worker) {
  std::string text;
  for (std::size_t i = 0; i < worker.tasks.size(); ++i) {
    const PlannedTask& task = plan.tasks[worker.tasks[i]];
    std::string next = text.empty() ? "" : ", ";
    next += task.name;
    if (task.group.size() > 1) next += fmt::format(" (1/{})", task.group.size());
    if (!text.empty() && text.size() + next.size() > kWidth)
      return fmt::format("{} and {} more", text, worker.tasks.size() - i);
    text += next;
  }
  return text;
}

std::string mib(double bytes) {
  return bytes < 10 * 1048576.0 ? fmt::format("{:.1f}", bytes / 1048576) : with_commas(std::llround(bytes / 1048576));
}

std::string milliseconds(double seconds) {
  return fmt::format("{:.{}f}", 1000 * seconds, seconds < 0.01 ? 2 : seconds < 1 ? 1 : 0);
}

std::string text_of(const Plan& plan, const Machine& machine, bool measured) {
  std::vector<std::vector<std::string>> rows;
  std::size_t shown = 0;
  while (shown < plan.workers.size() && rows.size() < kRows) {
    const auto cells = [&](std::size_t w) -> std::vector<std::string> {
      const PlannedWorker& worker = plan.workers[w];
      return {heads_of(plan, worker),
              with_commas(std::llround(worker.tokens)),
              mib(worker.parameters),
              mib(worker.gradients),
              mib(worker.optimizer),
              mib(worker.activations),
              mib(worker.memory),
              mib(worker.sent),
              milliseconds(worker.compute),
              milliseconds(worker.update),
              milliseconds(worker.communication)};
    };
    std::vector<std::string> row = cells(shown);
    std::size_t last = shown;
    while (last + 1 < plan.workers.size() && cells(last + 1) == row) ++last;
    row.insert(row.begin(), last > shown ? fmt::format("{}-{}", shown, last) : std::to_string(shown));
    rows.push_back(std::move(row));
    shown = last + 1;
  }
  std::string text = format_table({"worker", "heads", "tokens", "parameters", "gradients", "optimizer", "activations",
                                   "memory", "sent", "compute", "update", "reduce"},
                                  rows, "llrrrrrrrrrr");
  if (shown < plan.workers.size())
    text += fmt::format("… and {} more workers; --json has them all\n", plan.workers.size() - shown);
  const PlannedStep& step = plan.step;
  text += fmt::format(
      "tokens per step; MiB of memory (memory includes teachers, the gradients of the node's other workers and the "
      "program) and MiB sent per step; ms per step\n\nstep {} ms: compute {} (mean), {} more on the slowest worker, "
      "update {}, all-reduce {} for the encoder, {} for heads, {} for counts and losses\n{} workers, {} on a node: "
      "{:.3g} steps per second, efficiency {:.0f} %\nlimit: {}\n",
      milliseconds(step.total()), milliseconds(step.compute), milliseconds(step.imbalance), milliseconds(step.update),
      milliseconds(step.encoder), milliseconds(step.groups), milliseconds(step.small), plan.options.workers,
      plan.options.per_node, 1 / step.total(), 100 * plan.efficiency, plan.limit);
  if (!measured)
    text += fmt::format(
        "figures are assumed ({:.3g} operations per second, {:.3g} bytes per second between nodes): measure them with "
        "--calibrate FILE, and give --machine FILE\n",
        machine.operations, machine.bandwidth);
  return text;
}

json json_of(const Plan& plan, const Machine& machine) {
  json tasks = json::array(), workers = json::array();
  for (const PlannedTask& task : plan.tasks)
    tasks.push_back({{"name", task.name},
                     {"kind", name_of(task.kind)},
                     {"samples", task.samples},
                     {"input_tokens", task.work.input_tokens},
                     {"target_tokens", task.work.target_tokens},
                     {"operations", task.work.operations},
                     {"seconds", task.seconds},
                     {"parameters", task.parameters},
                     {"workers", task.group}});
  for (const PlannedWorker& worker : plan.workers)
    workers.push_back({{"tasks", worker.tasks},
                       {"samples", worker.samples},
                       {"tokens", worker.tokens},
                       {"memory",
                        {{"parameters", worker.parameters},
                         {"gradients", worker.gradients},
                         {"optimizer", worker.optimizer},
                         {"activations", worker.activations},
                         {"teachers", worker.teachers},
                         {"total", worker.memory}}},
                       {"sent", worker.sent},
                       {"encoder_sent", worker.encoder_sent},
                       {"compute", worker.compute},
                       {"update", worker.update},
                       {"communication", worker.communication}});
  const PlannedStep& step = plan.step;
  return {{"workers", std::move(workers)},
          {"per_node", plan.options.per_node},
          {"encoder_parameters", plan.encoder_parameters},
          {"tasks", std::move(tasks)},
          {"machine",
           {{"flops", machine.operations},
            {"parameter_seconds", machine.parameter_seconds},
            {"slots", machine.slots},
            {"crowding", machine.crowding},
            {"node_bandwidth", machine.node_bandwidth},
            {"node_latency", machine.node_latency},
            {"window_bandwidth", machine.window_bandwidth},
            {"bandwidth", machine.bandwidth},
            {"latency", machine.latency},
            {"memory", machine.memory},
            {"activations", machine.activations}}},
          {"step",
           {{"seconds", step.total()},
            {"compute", step.compute},
            {"imbalance", step.imbalance},
            {"update", step.update},
            {"encoder", step.encoder},
            {"groups", step.groups},
            {"small", step.small}}},
          {"efficiency", plan.efficiency},
          {"limit", plan.limit}};
}

struct Run {
  Manifest manifest;
  TrainOptions options;
};

// Resolves the options that `config` leaves open.
Run read_run(Config& config) {
  if (!config.has("run.data"))
    throw Error(Exit::config, "run.data is not given; add --data DIR, or run.data to the configuration file");
  Run run{.manifest = read_data_set(config), .options = {}};
  run.options = train_options_of(config, run.manifest);
  require_effects_of(config, run.manifest, nullptr);
  return run;
}

}  // namespace

std::span<const Option> plan_options() {
  using enum OptionType;
  static const std::vector<Option> table = [] {
    std::vector<Option> own = {
        {.key = "workers", .type = integer, .help = "Number of workers to plan for.", .allowed = ">=1"},
        {.key = "per-node",
         .type = integer,
         .help = "Number of workers per node. If not given, it is the number of slots of a node.",
         .allowed = ">=1"},
        {.key = "machine", .type = path, .help = "File with the machine's figures, as written by --calibrate."},
        {.key = "device-flops",
         .type = number,
         .help = "Floating-point operations per second of one worker during training.",
         .allowed = ">0"},
        {.key = "bandwidth",
         .type = number,
         .help = "Bandwidth into and out of a node, in bytes per second.",
         .allowed = ">0"},
        {.key = "latency", .type = number, .help = "Latency of a message between nodes, in seconds.", .allowed = ">0"},
        {.key = "step", .type = integer, .value = "1", .help = "The step whose mixture is used.", .allowed = ">=1"},
        {.key = "json", .type = flag, .help = "Print one JSON object instead of a table."},
        {.key = "calibrate",
         .type = path,
         .help = "Measure instead of planning: train a few steps, write the machine's figures to this file, and print "
                 "task.NAME.cost. Start it under mpirun with as many workers as a node has slots."},
    };
    const std::span<const Option> train = train_options();
    own.insert(own.end(), train.begin(), train.end());
    return own;
  }();
  return table;
}

int run_calibration(const Config& given, const std::filesystem::path& file, Communicator& world) {
  Config config = given;
  for (const char* name : {"config", "machine"})
    if (config.knows(name) && config.has(name))
      check_not_input(file, "--calibrate", config.path(name), fmt::format("--{}", name));
  auto [manifest, options] = read_run(config);
  const CpuShare cpus = cpus_from_affinity(world);
  if (options.micro_batch == 0)
    options.threads = choose_threads(options.threads, cpus, world.size(), options.device).threads;
  resolve_host(options, cpus, world);
  compare_training(config, options, manifest, world);
  const Calibration found = calibrate(options, manifest, world);
  if (world.rank() != 0) return 0;
  write_machine(
      file, found.machine,
      fmt::format("measured by --calibrate: {} workers on {} nodes, {} threads each, {} samples per step and worker",
                  world.size(), found.nodes, options.threads, found.samples));
  fmt::print("# seconds per sample (a step of {} samples took a worker {} ms), for the configuration file:\n",
             found.samples, milliseconds(found.step_seconds));
  for (const std::string& task : options.tasks) fmt::print("[task.{}]\ncost = {:.4g}\n", task, found.cost.at(task));
  say("{} is written{}\n", file.string(),
      world.size() == 1 ? "; bandwidth and latency in it are assumed: calibrate on several workers to measure them"
      : found.nodes == 1
          ? "; bandwidth and latency between nodes in it are assumed: calibrate on several nodes to measure them"
          : "");
  return 0;
}

int run_plan(const Config& given, Communicator& world) {
  Config config = given;
  const auto [manifest, options] = read_run(config);
  if (config.flag("print-config")) {
    if (world.rank() == 0) std::puts(config.ini(true).c_str());
    return 0;
  }
  if (config.has("calibrate")) return run_calibration(given, config.path("calibrate"), world);
  if (world.size() > 1)
    throw Error(Exit::usage,
                fmt::format("'polyhead plan' is one process, but the launcher started {}; --workers says how "
                            "many to plan for (with --calibrate it runs under mpirun)",
                            world.size()));
  if (!config.has("workers")) throw Error(Exit::usage, "--workers N is not given: the workers to plan for");
  if (config.integer("workers") > kMostWorkers)
    throw Error(Exit::config, fmt::format("{}: the maximum is {}", config.quote("workers"), kMostWorkers));
  if (config.integer("step") > options.steps)
    throw Error(Exit::config, fmt::format("{}: run.steps is {}", config.quote("step"), options.steps));
  Machine machine;
  if (config.has("machine")) machine = read_machine(config.path("machine"));
  if (config.has("device-flops")) machine.operations = config.number("device-flops");
  if (config.has("bandwidth")) machine.bandwidth = config.number("bandwidth");
  if (config.has("latency")) machine.latency = config.number("latency");
  const PlanOptions asked{.workers = static_cast<int>(config.integer("workers")),
                          .per_node = static_cast<int>(std::min<std::int64_t>(
                              kMostWorkers, config.has("per-node") ? config.integer("per-node") : machine.slots)),
                          .step = config.integer("step")};
  const Plan plan = make_plan(options, manifest, machine, asked);
  if (config.flag("json"))
    fmt::print("{}\n", json_of(plan, machine).dump());
  else
    fmt::print("{}", text_of(plan, machine, config.has("machine")));
  return 0;
}

}  // namespace polyhead
