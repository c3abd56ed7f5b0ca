// Predicts a step in parts: update, counts, compute, all-reduce of the encoder, all-reduces of the heads group by
// group, losses. Workers wait for each other between the parts.
#include "distributed/planning/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>

#include "core/base/as_doubles.h"
#include "core/base/at.h"
#include "core/base/error.h"
#include "core/kinds/registry.h"
#include "datasets/sampling/sampling.h"
#include "distributed/planning/surgery_cost.h"
#include "distributed/step/balance.h"
#include "distributed/step/step_record.h"

namespace polyhead {
namespace {

double rounds(int members) {
  return members > 1 ? std::ceil(std::log2(members)) : 0;
}

double share_sent(int members) {
  return 2.0 * (members - 1) / members;
}

// How a group's members are spread over nodes.
struct Spread {
  int members = 0, nodes = 0, most = 0;  // most: members on one node
};

Spread spread(const std::vector<int>& group, int per_node) {
  Spread result;
  int here = 0, node = -1;
  for (const int worker : group) {
    if (worker / per_node != node) {
      node = worker / per_node;
      here = 0;
      ++result.nodes;
    }
    ++result.members;
    result.most = std::max(result.most, ++here);
  }
  return result;
}

// Seconds of an all-reduce between nodes, by halving and doubling. If their number is not a power of two, it is the
// faster of a ring and of halving and doubling among the largest power of two of them, to which the others first send
// their data.
double exchange_seconds(double bytes, int nodes, const Machine& machine) {
  const auto in_rounds = [&](int members, double count) {
    return share_sent(members) * bytes / machine.bandwidth + count * machine.latency;
  };
  const int core = static_cast<int>(std::bit_floor(static_cast<unsigned>(nodes)));
  const double halved = in_rounds(core, 2 * rounds(core));
  if (core == nodes) return halved;
  return std::min(in_rounds(nodes, 2.0 * (nodes - 1)), halved + 2 * (bytes / machine.bandwidth + machine.latency));
}

// Seconds of an all-reduce within nodes, then between them.
double all_reduce_seconds(double bytes, const Spread& group, const Machine& machine, double within) {
  double seconds = 0;
  if (group.most > 1)
    seconds += share_sent(group.most) * bytes / within + 2 * rounds(group.most) * machine.node_latency;
  return seconds + (group.nodes > 1 ? exchange_seconds(bytes, group.nodes, machine) : 0);
}

// The slow-down with this number of workers on the node, relative to a full node.
double among(int workers, const Machine& machine) {
  if (machine.slots == 1) return 1;
  const auto [others, most] = as_doubles(std::min<std::int64_t>(workers, machine.slots) - 1, machine.slots - 1);
  return (1 + (machine.crowding - 1) * (others / most)) / machine.crowding;
}

// Returns when each of a node's workers is done if they share its slots fairly.
std::vector<double> sharing(const std::vector<double>& work, std::int64_t slots) {
  std::vector<std::size_t> order(work.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return work[i]; });
  std::vector<double> done(work.size());
  double now = 0, before = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto [running, at_once] = as_doubles(order.size() - i, slots);
    now += (work[order[i]] - before) * std::max(1.0, running / at_once);
    before = work[order[i]];
    done[order[i]] = now;
  }
  return done;
}

// Replaces each worker's seconds of `part` by the time at which it is done if it shares the slots of its node.
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
double teacher_bytes(const TrainOptions& options, const std::vector<std::size_t>& tasks, double encoder_bytes,
                     const std::vector<double>& head_bytes) {
  std::set<std::filesystem::path> loaded;
  double bytes = 0;
  for (const std::size_t t : tasks) {
    const std::filesystem::path& teacher = options.task_options.at(options.tasks[t]).teacher.run_dir;
    if (teacher.empty()) continue;
    if (loaded.insert(teacher).second) bytes += encoder_bytes;
    bytes += head_bytes[t];
  }
  return bytes;
}

// Fills in the statistics that only the shards have, as far as they affect the shape of the model.
ModelDescription with_stand_ins(ModelDescription description, const Manifest& manifest) {
  for (TrainedTask& task : description.tasks) {
    task.statistics.feature_width = static_cast<std::int64_t>(manifest.task(task.name).features);
    task_kind(task.kind).add_statistics(task.view(), task.head, {}, task.statistics);
  }
  return description;
}

// crowded: how many times slower a worker is with the others of its node than alone.
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
      return static_cast<double>(slowest->samples[i]) * plan.tasks[slowest->tasks[i]].seconds;
    };
    for (std::size_t i = 0; i < slowest->tasks.size(); ++i)
      if (seconds(i) > seconds(heavy)) heavy = i;
    for (const PlannedWorker& worker : plan.workers)
      idle += std::accumulate(worker.samples.begin(), worker.samples.end(), std::int64_t{0}) == 0;
    const PlannedTask& task = plan.tasks[slowest->tasks[heavy]];
    std::string text = fmt::format(
        "task {}: worker {} computes {:.2g} times the mean ({} of the task's {} samples per step, {} workers in its "
        "group)",
        task.name, slowest - plan.workers.begin(), slowest->compute / step.compute, slowest->samples[heavy],
        task.samples, task.group.size());
    if (idle > 0) text += fmt::format("; {} workers have no samples; a larger mixture.batch gives them some", idle);
    return text;
  }
  if (most == step.update)
    return fmt::format("the update, as every worker updates the whole encoder: {:.0f} % of the step",
                       percent(step.update));
  const bool within = plan.options.workers <= plan.options.per_node;
  return fmt::format(
      "{} {}: {:.0f} % of the step is all-reduce ({:.0f} % the encoder's gradients, {:.0f} % heads', {:.0f} % "
      "counts and losses)",
      step.small > step.encoder + step.groups ? "latency" : "bandwidth", within ? "within the node" : "between nodes",
      percent(reduce), percent(step.encoder), percent(step.groups), percent(step.small));
}

// Makes a plan part by part, in the order of the public functions.
class Planner {
 public:
  Planner(const TrainOptions& options, const Manifest& manifest, const Machine& machine, const PlanOptions& asked)
      : options_(options),
        manifest_(manifest),
        machine_(machine),
        asked_(asked),
        width_(options.dtype == "float64" ? 8 : 4),
        summed_(options.micro_batch > 0 ? 8 / width_ : 1),
        slowed_(among(std::min(asked.workers, asked.per_node), machine)),
        everybody_(static_cast<std::size_t>(asked.workers)) {
    std::iota(everybody_.begin(), everybody_.end(), 0);
    world_ = spread(everybody_, asked.per_node);
    plan_.options = asked;
    plan_.workers.resize(everybody_.size());
  }

  void add_tasks() {
    const std::vector<std::uint64_t> train = train_samples(manifest_, options_.tasks);
    const auto mixture = entries_of(options_.mixture, phase_quotas(options_.mixture, options_.tasks, train));
    const std::vector<TaskWork> work = work_of(options_, manifest_, mixture);
    const Placement placement = placement_of(options_, work, asked_.workers);
    const ModelDescription description = with_stand_ins(describe_model(options_, manifest_), manifest_);
    std::vector<std::size_t> all(description.tasks.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    const auto model = build_model(description, all);
    encoder_bytes_ = static_cast<double>(model->encoder().arena().layout()) * width_;
    plan_.encoder_parameters = model->encoder().arena().parameter_count();
    std::int64_t last_block = 0;
    for (const Parameter& parameter : model->encoder().arena().parameters())
      if (parameter.depth == 1) last_block += parameter.size();
    for (std::size_t t = 0; t < work.size(); ++t) {
      Arena& head = model->head(t).arena();
      head_bytes_.push_back(static_cast<double>(head.layout()) * width_);
      const double cost = options_.task_options.at(options_.tasks[t]).cost;
      plan_.tasks.push_back({.name = options_.tasks[t],
                             .kind = description.tasks[t].kind,
                             .work = work[t],
                             .samples = positions(mixture, t, asked_.step).count,
                             .parameters = head.parameter_count(),
                             .seconds = slowed_ * (cost > 0 ? cost : work[t].operations / machine_.operations),
                             .group = placement.groups[t]});
    }
    if (!reads_gradients(options_.balancer, options_.tasks)) return;
    std::vector<bool> active;
    for (const PlannedTask& task : plan_.tasks) active.push_back(task.samples > 0);
    surgery_ = surgery_cost(
        {options_, asked_.workers, placement.groups, active, model->encoder().arena().layout(), last_block, width_});
  }

  // Divides the quotas as the loader does, with equally long samples; the parts are rotated by the task's index.
  void add_samples() {
    for (std::size_t t = 0; t < plan_.tasks.size(); ++t) {
      const PlannedTask& task = plan_.tasks[t];
      std::vector<std::int64_t> part_samples(task.group.size(), 0);
      const std::vector<std::uint64_t> lengths(static_cast<std::size_t>(task.samples), 1);
      for (const std::size_t part : split_by_length(lengths, task.group.size())) ++part_samples.at(part);
      for (std::size_t i = 0; i < task.group.size(); ++i) {
        PlannedWorker& worker = worker_of(task.group[i]);
        const std::int64_t samples = part_samples[(i + t) % task.group.size()];
        const auto n = static_cast<double>(samples);
        worker.tasks.push_back(t);
        worker.samples.push_back(samples);
        worker.tokens += n * (task.work.input_tokens + task.work.target_tokens);
        worker.compute += n * task.seconds;
        worker.activations += n * task.work.activations * width_;
        worker.parameters += head_bytes_[t];
      }
    }
  }

  // Computes each worker's memory from the parameters of its heads and the activations of its samples, and the seconds
  // of its update, which are proportional to the parameters that it updates.
  void add_memory() {
    const double vocabulary_gradient =
        static_cast<double>(manifest_.tokenizer.vocab_size * options_.encoder.dim) * width_;
    const double copies = options_.optimizer.ema > 0 ? 3 : 2;
    const double encoder_updated = encoder_bytes_ * (options_.shard_optimizer ? 1.0 / asked_.workers : 1);
    for (std::size_t w = 0; w < plan_.workers.size(); ++w) {
      PlannedWorker& worker = plan_.workers[w];
      const double updated = worker.parameters + encoder_updated;
      worker.parameters += encoder_bytes_;
      worker.gradients = worker.parameters * (options_.micro_batch > 0 ? 1 + summed_ : 1);
      if (surgery_) worker.gradients += surgery_->gradients[w] + (world_.nodes > 1 ? surgery_->received[w] : 0);
      worker.optimizer = copies * updated;
      // Backward allocates the gradients of the token table, of input and of tied output, before it adds them.
      worker.activations = machine_.activations *
                           (worker.activations / static_cast<double>(options_.accumulate) + 2 * vocabulary_gradient);
      worker.update = updated / width_ * machine_.parameter_seconds * slowed_;
      worker.teachers = teacher_bytes(options_, worker.tasks, encoder_bytes_, head_bytes_);
      // Workers of one node map each other's gradients.
      double mapped = world_.nodes == 1 && options_.device != "cuda" ? (world_.most - 1) * encoder_bytes_ * summed_ : 0;
      if (surgery_ && mapped > 0)
        mapped += std::accumulate(surgery_->gradients.begin(), surgery_->gradients.end(), -surgery_->gradients[w]);
      worker.memory = worker.parameters + worker.gradients + worker.optimizer + worker.activations + worker.teachers +
                      mapped + machine_.memory;
    }
    share_nodes(plan_.workers, &PlannedWorker::compute, asked_, machine_.slots);
    share_nodes(plan_.workers, &PlannedWorker::update, asked_, machine_.slots);
  }

  // The all-reduces of all workers: the encoder's gradients, and the two or three of a step's record.
  void add_all_reduces() {
    const std::size_t tasks = plan_.tasks.size();
    const auto [counts, losses] = as_doubles(StepRecord::count_bytes(tasks), StepRecord::outcome_bytes(tasks));
    const bool weighted =
        std::ranges::any_of(plan_.tasks, [this](const PlannedTask& task) { return manifest_.task(task.name).weights; });
    const double weights = weighted ? static_cast<double>(tasks * sizeof(double)) : 0;
    const double within = machine_.node_bandwidth;
    plan_.step.small = all_reduce_seconds(counts, world_, machine_, within) +
                       all_reduce_seconds(losses, world_, machine_, within) +
                       (weighted ? all_reduce_seconds(weights, world_, machine_, within) : 0);
    // Sending the updated parameters to all workers is the second half of an all-reduce.
    const double shared = options_.shard_optimizer ? encoder_bytes_ / 2 : 0;
    plan_.step.encoder = all_reduce_seconds(encoder_bytes_ * summed_ * (surgery_ ? surgery_->exchanged : 1), world_,
                                            machine_, world_.nodes == 1 ? machine_.window_bandwidth : within) +
                         (shared > 0 ? all_reduce_seconds(shared, world_, machine_, within) : 0);
    for (std::size_t w = 0; w < plan_.workers.size(); ++w) {
      PlannedWorker& worker = plan_.workers[w];
      worker.encoder_sent = surgery_ ? surgery_->sent[w] : share_sent(world_.members) * encoder_bytes_ * summed_;
      worker.sent = worker.encoder_sent + share_sent(world_.members) * (shared + counts + losses + weights);
      worker.communication = plan_.step.small + plan_.step.encoder;
    }
  }

  // Groups in the order of tasks: each begins when the last of its members has finished the one before.
  void add_group_all_reduces() {
    std::vector<double> ready(everybody_.size(), 0);
    std::vector<double> through(static_cast<std::size_t>(world_.nodes), 0);  // bytes of heads, by node
    for (std::size_t t = 0; t < plan_.tasks.size(); ++t) {
      const std::vector<int>& group = plan_.tasks[t].group;
      if (group.size() == 1 || plan_.tasks[t].samples == 0) continue;
      const Spread members = spread(group, asked_.per_node);
      const double bytes = head_bytes_[t] * summed_;
      const double seconds = all_reduce_seconds(bytes, members, machine_, machine_.node_bandwidth);
      double begin = 0;
      for (const int worker : group) begin = std::max(begin, at(ready, worker));
      int node = -1;
      for (const int worker : group) {
        at(ready, worker) = begin + seconds;
        worker_of(worker).communication += seconds;
        worker_of(worker).sent += share_sent(members.members) * bytes;
        if (members.nodes > 1 && worker / asked_.per_node != node) {
          node = worker / asked_.per_node;
          at(through, node) += share_sent(members.nodes) * bytes;
        }
      }
    }
    // Groups that communicate between nodes at the same time share a node's link.
    plan_.step.groups =
        std::max(*std::ranges::max_element(ready), *std::ranges::max_element(through) / machine_.bandwidth);
  }

  Plan finish() {
    PlannedStep& step = plan_.step;
    double slowest = 0;
    for (const PlannedWorker& worker : plan_.workers) {
      step.update = std::max(step.update, worker.update);
      step.compute += worker.compute / asked_.workers;
      slowest = std::max(slowest, worker.compute);
    }
    step.imbalance = slowest - step.compute;
    // A single worker updates all parameters.
    double alone =
        std::accumulate(head_bytes_.begin(), head_bytes_.end(), encoder_bytes_) / width_ * machine_.parameter_seconds;
    for (const PlannedTask& task : plan_.tasks) alone += static_cast<double>(task.samples) * task.seconds / slowed_;
    alone *= among(1, machine_);
    plan_.efficiency = alone / (asked_.workers * step.total());
    plan_.limit = limit_of(plan_, slowed_ / among(1, machine_));
    return std::move(plan_);
  }

 private:
  PlannedWorker& worker_of(int rank) { return at(plan_.workers, rank); }

  const TrainOptions& options_;
  const Manifest& manifest_;
  const Machine& machine_;
  const PlanOptions& asked_;
  double width_;   // bytes of a parameter
  double summed_;  // bytes that are summed per byte of gradients: more than 1 if they are summed as 64-bit integers
  double slowed_;  // slow-down of the worker relative to a full node
  std::vector<int> everybody_;
  Spread world_;
  std::optional<SurgeryCost> surgery_;
  double encoder_bytes_ = 0;        // with padding
  std::vector<double> head_bytes_;  // [tasks]
  Plan plan_;
};

}  // namespace

Plan make_plan(const TrainOptions& options, const Manifest& manifest, const Machine& machine,
               const PlanOptions& asked) {
  Planner planner(options, manifest, machine, asked);
  planner.add_tasks();
  planner.add_samples();
  planner.add_memory();
  planner.add_all_reduces();
  planner.add_group_all_reduces();
  return planner.finish();
}

}  // namespace polyhead
