// A step in parts: update, counts, compute, all-reduce of the encoder, of the heads group by group, losses. Workers
// meet between the parts.
#include "distributed/planning/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "datasets/sampling.h"
#include "distributed/step/step_record.h"

namespace polyhead {
namespace {

double rounds(int members) {
  return members > 1 ? std::ceil(std::log2(members)) : 0;
}

double share_sent(int members) {
  return 2.0 * (members - 1) / members;
}

// Where a group's members are.
struct Spread {
  int members = 0, nodes = 0, most = 0;  // most: members on one node
};

Spread spread(const std::vector<int>& group, int per_node) {
  Spread result{.members = static_cast<int>(group.size()), .nodes = 0, .most = 0};
  int here = 0, node = -1;
  for (const int worker : group) {
    if (worker / per_node != node) node = worker / per_node, here = 0, ++result.nodes;
    result.most = std::max(result.most, ++here);
  }
  return result;
}

// Between nodes: halving and doubling; where they are no power of two, the quicker of a ring and of halving and
// doubling among the largest power of two of them, to whom the others send theirs first.
double exchange_seconds(double bytes, int nodes, const Machine& machine) {
  const auto in_rounds = [&](int members, double count) {
    return share_sent(members) * bytes / machine.bandwidth + count * machine.latency;
  };
  const int core = static_cast<int>(std::bit_floor(static_cast<unsigned>(nodes)));
  const double halved = in_rounds(core, 2 * rounds(core));
  if (core == nodes) return halved;
  return std::min(in_rounds(nodes, 2.0 * (nodes - 1)), halved + 2 * (bytes / machine.bandwidth + machine.latency));
}

// Within nodes, then between them.
double all_reduce_seconds(double bytes, const Spread& group, const Machine& machine, double within) {
  double seconds = 0;
  if (group.most > 1)
    seconds += share_sent(group.most) * bytes / within + 2 * rounds(group.most) * machine.node_latency;
  return seconds + (group.nodes > 1 ? exchange_seconds(bytes, group.nodes, machine) : 0);
}

// Of the seconds on a full node, how many it takes among so many workers.
double among(int workers, const Machine& machine) {
  if (machine.slots == 1) return 1;
  const double others =
      static_cast<double>(std::min<std::int64_t>(workers, machine.slots) - 1) / static_cast<double>(machine.slots - 1);
  return (1 + (machine.crowding - 1) * others) / machine.crowding;
}

// When each of a node's workers is done when they share its slots fairly.
std::vector<double> sharing(const std::vector<double>& work, std::int64_t slots) {
  std::vector<std::size_t> order(work.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return work[i]; });
  std::vector<double> done(work.size());
  double now = 0, before = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto running = static_cast<double>(order.size() - i);
    now += (work[order[i]] - before) * std::max(1.0, running / static_cast<double>(slots));
    before = work[order[i]];
    done[order[i]] = now;
  }
  return done;
}

// Replaces each worker's `part` by the time until it is done with it among its node's.
void share_nodes(std::vector<PlannedWorker>& workers, double PlannedWorker::*part, const PlanOptions& options,
                 std::int64_t slots) {
  const auto per_node = static_cast<std::size_t>(options.per_node);
  for (std::size_t first = 0; first < workers.size(); first += per_node) {
    std::vector<double> work;
    const std::size_t end = std::min(workers.size(), first + per_node);
    for (std::size_t w = first; w < end; ++w) work.push_back(workers[w].*part);
    const std::vector<double> done = sharing(work, slots);
    for (std::size_t w = first; w < end; ++w) workers[w].*part = done[w - first];
  }
}

// Bytes of the teachers' parameters that a worker loads, each taken to be as large as this run's model.
double teacher_bytes(const TrainOptions& options, const std::vector<int>& tasks, double encoder_bytes,
                     const std::vector<double>& head_bytes) {
  std::set<std::filesystem::path> loaded;
  double bytes = 0;
  for (const int task : tasks) {
    const auto t = static_cast<std::size_t>(task);
    const std::filesystem::path& teacher = options.task_options.at(options.tasks[t]).teacher.run_dir;
    if (teacher.empty()) continue;
    if (loaded.insert(teacher).second) bytes += encoder_bytes;
    bytes += head_bytes[t];
  }
  return bytes;
}

// What only the shards tell is filled in as far as it shapes the model.
ModelDescription with_stand_ins(ModelDescription description, const Manifest& manifest) {
  for (TrainedTask& task : description.tasks) {
    task.statistics.feature_width = static_cast<std::int64_t>(manifest.task(task.name).features);
    if (task.kind != Kind::regression) continue;
    task.statistics.mean.assign(std::max<std::size_t>(1, task.outputs.size()), 0);
    task.statistics.deviation.assign(task.statistics.mean.size(), 1);
  }
  return description;
}

// crowded: how much slower a worker is among those of its node than alone.
std::string limit_of(const Plan& plan, double crowded) {
  const PlannedStep& step = plan.step;
  const auto percent = [&](double part) { return 100 * part / step.total(); };
  const double reduce = step.encoder + step.groups + step.small;
  const double most = std::max({step.update, step.imbalance, reduce});
  if (plan.workers.size() == 1) return "one worker: none";
  if (most < 0.1 * step.total() && crowded > 1.1)
    return fmt::format("caches and memory of a node: its workers compute {:.2f} times as long as one alone", crowded);
  if (most < 0.1 * step.total())
    return fmt::format("none yet: {:.0f} % of the step is even compute", percent(step.compute));
  const auto slowest = std::ranges::max_element(plan.workers, {}, &PlannedWorker::compute);
  if (most == step.imbalance) {
    std::size_t heavy = 0;
    std::int64_t idle = 0;
    const auto seconds = [&](std::size_t i) {
      return static_cast<double>(slowest->samples[i]) * plan.tasks[static_cast<std::size_t>(slowest->tasks[i])].seconds;
    };
    for (std::size_t i = 0; i < slowest->tasks.size(); ++i)
      if (seconds(i) > seconds(heavy)) heavy = i;
    for (const PlannedWorker& worker : plan.workers)
      idle += std::accumulate(worker.samples.begin(), worker.samples.end(), std::int64_t{0}) == 0;
    const PlannedTask& task = plan.tasks[static_cast<std::size_t>(slowest->tasks[heavy])];
    std::string text = fmt::format(
        "task {}: worker {} computes {:.2g} times the mean ({} of the task's {} samples a step, "
        "{} in its group)",
        task.name, slowest - plan.workers.begin(), slowest->compute / step.compute, slowest->samples[heavy],
        task.samples, task.group.size());
    if (idle > 0) text += fmt::format("; {} workers have no sample: a larger mixture.batch uses them", idle);
    return text;
  }
  if (most == step.update)
    return fmt::format("the update, which every worker makes of the whole encoder: {:.0f} % of the step",
                       percent(step.update));
  const bool within = plan.options.workers <= plan.options.per_node;
  return fmt::format(
      "{} {}: {:.0f} % of the step is all-reduce ({:.0f} % the encoder's gradients, {:.0f} % heads', {:.0f} % "
      "counts and losses)",
      step.small > step.encoder + step.groups ? "latency" : "bandwidth", within ? "within the node" : "between nodes",
      percent(reduce), percent(step.encoder), percent(step.groups), percent(step.small));
}

}  // namespace

Plan make_plan(const TrainOptions& options, const Manifest& manifest, const Machine& machine,
               const PlanOptions& asked) {
  const std::vector<std::uint64_t> train = train_samples(manifest, options.tasks);
  const auto mixture = entries_of(options.mixture, phase_quotas(options.mixture, options.tasks, train));
  const std::vector<TaskWork> work = work_of(options, manifest, mixture);
  const Placement placement = placement_of(options, work, asked.workers);
  const double width = options.dtype == "float64" ? 8 : 4;

  Plan plan;
  plan.options = asked;
  std::vector<double> head_bytes;  // padding included
  const ModelDescription description = with_stand_ins(describe_model(options, manifest), manifest);
  std::vector<int> all(description.tasks.size());
  std::iota(all.begin(), all.end(), 0);
  const auto model = build_model(description, all);
  const double slowed = among(std::min(asked.workers, asked.per_node), machine);
  const double encoder_bytes = static_cast<double>(model->encoder().arena().layout()) * width;
  plan.encoder_parameters = model->encoder().arena().parameter_count();
  for (std::size_t t = 0; t < work.size(); ++t) {
    Arena& head = model->head(static_cast<int>(t)).arena();
    head_bytes.push_back(static_cast<double>(head.layout()) * width);
    const TaskOptions& own = options.task_options.at(options.tasks[t]);
    plan.tasks.push_back({.name = options.tasks[t],
                          .kind = description.tasks[t].kind,
                          .work = work[t],
                          .samples = positions(mixture, t, asked.step).count,
                          .parameters = head.parameter_count(),
                          .seconds = slowed * (own.cost > 0 ? own.cost : work[t].operations / machine.operations),
                          .group = placement.groups[t]});
  }
  std::vector<int> everybody(static_cast<std::size_t>(asked.workers));
  std::iota(everybody.begin(), everybody.end(), 0);
  const Spread world = spread(everybody, asked.per_node);
  const double copies = options.optimizer.ema > 0 ? 3 : 2;
  // Of the encoder's, where its state is shared out; and of a gradient that is added as 64-bit integers.
  const double state_share = options.shard_optimizer ? 1.0 / asked.workers : 1,
               summed = options.micro_batch > 0 ? 8 / width : 1;
  plan.workers.resize(everybody.size());
  for (std::size_t t = 0; t < plan.tasks.size(); ++t) {
    const PlannedTask& task = plan.tasks[t];
    const auto members = static_cast<int>(task.group.size());
    // As the loader cuts a quota, of samples that are equally long; parts turn with the task.
    std::vector<std::int64_t> part_samples(task.group.size(), 0);
    const std::vector<std::uint64_t> lengths(static_cast<std::size_t>(task.samples), 1);
    for (const int part : split_by_length(lengths, members)) ++part_samples[static_cast<std::size_t>(part)];
    for (std::size_t i = 0; i < task.group.size(); ++i) {
      PlannedWorker& worker = plan.workers[static_cast<std::size_t>(task.group[i])];
      const std::int64_t samples = part_samples[(i + t) % task.group.size()];
      const auto n = static_cast<double>(samples);
      worker.tasks.push_back(static_cast<int>(t));
      worker.samples.push_back(samples);
      worker.tokens += n * (task.work.input_tokens + task.work.target_tokens);
      worker.compute += n * task.seconds;
      worker.activations += n * task.work.activations * width;
      worker.parameters += head_bytes[t];
    }
  }
  const double vocabulary_gradient = static_cast<double>(manifest.tokenizer.vocab_size * options.encoder.dim) * width;
  for (PlannedWorker& worker : plan.workers) {
    const double heads = worker.parameters, updated = heads + state_share * encoder_bytes;
    worker.parameters += encoder_bytes;
    worker.gradients = worker.parameters * (options.micro_batch > 0 ? 1 + summed : 1);
    worker.optimizer = copies * updated;
    // Backward makes the token table's gradient, of input and of tied output, before it is added.
    worker.activations =
        machine.activations * (worker.activations / static_cast<double>(options.accumulate) + 2 * vocabulary_gradient);
    worker.update = updated / width * machine.parameter_seconds * slowed;
    worker.teachers = teacher_bytes(options, worker.tasks, encoder_bytes, head_bytes);
    // Workers of one node map each other's gradients.
    const double mapped = world.nodes == 1 && options.device != "cuda" ? (world.most - 1) * encoder_bytes * summed : 0;
    worker.memory = worker.parameters + worker.gradients + worker.optimizer + worker.activations + worker.teachers +
                    mapped + machine.memory;
  }
  share_nodes(plan.workers, &PlannedWorker::compute, asked, machine.slots);
  share_nodes(plan.workers, &PlannedWorker::update, asked, machine.slots);

  const auto counts = static_cast<double>(StepRecord::count_bytes(work.size())),
             losses = static_cast<double>(StepRecord::outcome_bytes(work.size()));
  PlannedStep& step = plan.step;
  step.small = all_reduce_seconds(counts, world, machine, machine.node_bandwidth) +
               all_reduce_seconds(losses, world, machine, machine.node_bandwidth);
  // Sharing the updated parameters out is the second half of an all-reduce.
  const double shared = options.shard_optimizer ? encoder_bytes / 2 : 0;
  step.encoder = all_reduce_seconds(encoder_bytes * summed, world, machine,
                                    world.nodes == 1 ? machine.window_bandwidth : machine.node_bandwidth) +
                 (shared > 0 ? all_reduce_seconds(shared, world, machine, machine.node_bandwidth) : 0);
  std::vector<double> ready(everybody.size(), 0);
  std::vector<double> through(static_cast<std::size_t>(world.nodes), 0);  // bytes of heads, of a node's link
  for (PlannedWorker& worker : plan.workers) {
    worker.sent = share_sent(world.members) * (encoder_bytes * summed + shared + counts + losses);
    worker.communication = step.small + step.encoder;
  }
  // Groups in the order of tasks: each begins when the last of its members has done with the one before.
  for (std::size_t t = 0; t < plan.tasks.size(); ++t) {
    const std::vector<int>& group = plan.tasks[t].group;
    if (group.size() == 1 || plan.tasks[t].samples == 0) continue;
    const Spread members = spread(group, asked.per_node);
    const double bytes = head_bytes[t] * summed;
    const double seconds = all_reduce_seconds(bytes, members, machine, machine.node_bandwidth);
    double begin = 0;
    for (const int worker : group) begin = std::max(begin, ready[static_cast<std::size_t>(worker)]);
    int node = -1;
    for (const int worker : group) {
      const auto w = static_cast<std::size_t>(worker);
      ready[w] = begin + seconds;
      plan.workers[w].communication += seconds;
      plan.workers[w].sent += share_sent(members.members) * bytes;
      if (members.nodes > 1 && worker / asked.per_node != node) {
        node = worker / asked.per_node;
        through[static_cast<std::size_t>(node)] += share_sent(members.nodes) * bytes;
      }
    }
  }
  // Groups that cross at the same time share a node's link.
  step.groups = std::max(*std::ranges::max_element(ready), *std::ranges::max_element(through) / machine.bandwidth);
  double slowest = 0;
  for (const PlannedWorker& worker : plan.workers) {
    step.update = std::max(step.update, worker.update);
    step.compute += worker.compute / asked.workers;
    slowest = std::max(slowest, worker.compute);
  }
  step.imbalance = slowest - step.compute;

  // One worker holds everything.
  double alone =
      std::accumulate(head_bytes.begin(), head_bytes.end(), encoder_bytes) / width * machine.parameter_seconds;
  for (const PlannedTask& task : plan.tasks) alone += static_cast<double>(task.samples) * task.seconds / slowed;
  alone *= among(1, machine);
  plan.efficiency = alone / (asked.workers * plan.step.total());
  plan.limit = limit_of(plan, slowed / among(1, machine));
  return plan;
}

}  // namespace polyhead
