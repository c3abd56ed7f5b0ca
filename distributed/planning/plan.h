// Predicts what a run needs on N workers without starting it: heads, samples, memory, traffic and time of each worker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/planning/workload.h"

namespace polyhead {

// Figures of a machine; the defaults are those of a CPU core and of 10 Gbit/s between nodes.
struct Machine {
  double operations = 4e10;         // operations per second of one worker in training
  double parameter_seconds = 5e-9;  // seconds per step and parameter of a worker: gradient, norm, update
  std::int64_t slots = 8;           // workers that can compute at the same time on a node
  // How many times slower a worker is with `slots` workers on its node, which share caches and memory, than alone on
  // it. In between it grows linearly. The seconds above and task.NAME.cost are those of a full node.
  double crowding = 1;
  // Within a node and between nodes: bytes per second into a worker or node, and seconds per message. An all-reduce of
  // n bytes over p members moves 2 (p - 1) / p n bytes.
  double node_bandwidth = 2e9, node_latency = 5e-6;
  double bandwidth = 1.25e9, latency = 3e-5;
  double window_bandwidth = 4e9;  // for the encoder's gradients if all workers are on one node, which reduce in place
  double memory = 3.5e8;          // bytes of a worker besides the model
  double activations = 1.5;       // bytes used per byte of activations that is counted
};

struct PlanOptions {
  int workers = 1;
  int per_node = 1;       // workers on one node; ranks fill nodes one after another
  std::int64_t step = 1;  // the step whose mixture is used
};

struct PlannedTask {
  std::string name;
  Kind kind = Kind::classification;
  TaskWork work;
  std::int64_t samples = 0;     // in that step
  std::int64_t parameters = 0;  // of its head
  double seconds = 0;           // per sample
  std::vector<int> group;
};

struct PlannedWorker {
  std::vector<std::size_t> tasks;     // ascending
  std::vector<std::int64_t> samples;  // of each of them per step; all samples are assumed to be equally long
  double tokens = 0;                  // inputs and targets per step
  double parameters = 0, gradients = 0, optimizer = 0, activations = 0, teachers = 0;  // bytes
  double memory = 0;        // bytes: the sum of these, of the gradients of others that it maps, and of machine.memory
  double sent = 0;          // bytes per step
  double encoder_sent = 0;  // of these, for the encoder's gradient
  double compute = 0, update = 0, communication = 0;  // seconds per step; the worker waits for the rest of the step
};

// Seconds of a step, one part after another.
struct PlannedStep {
  double update = 0;                          // the optimizer of the slowest worker
  double compute = 0;                         // mean over workers
  double imbalance = 0;                       // additional time of the slowest worker's compute
  double encoder = 0, groups = 0, small = 0;  // all-reduces: encoder gradients, heads' gradients, counts and losses
  double total() const { return update + compute + imbalance + encoder + groups + small; }
};

struct Plan {
  PlanOptions options;
  std::int64_t encoder_parameters = 0;
  std::vector<PlannedTask> tasks;
  std::vector<PlannedWorker> workers;
  PlannedStep step;
  double efficiency = 0;  // speed relative to N times that of one worker
  std::string limit;      // what limits the speed, as text
};

// Quotas and placement are computed as in training. The model is constructed without memory to count its parameters
// (without the 2 x dim of tasks with pairs of texts, which only the shards show). The cost of a task that has none is
// its number of operations / machine.operations. Throws the errors that training throws before its first step.
Plan make_plan(const TrainOptions& options, const Manifest& manifest, const Machine& machine, const PlanOptions& plan);

}  // namespace polyhead
