// What a run will take on N workers, without starting one: heads, samples, memory, traffic and time of each worker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/planning/workload.h"

namespace polyhead {

// Figures of a machine; the defaults are those of a CPU core and of 10 Gbit/s between nodes.
struct Machine {
  double operations = 4e10;         // a second, of one worker in training
  double parameter_seconds = 5e-9;  // of a step, for each parameter that a worker holds: gradient, norm, update
  std::int64_t slots = 8;           // workers that a node computes with at once
  // By which a worker is slower among `slots` on its node, as caches and memory are shared, than alone on it; the
  // seconds above and task.NAME.cost are those of a full node. Between one and all it grows evenly.
  double crowding = 1;
  // Within a node and between nodes: bytes a second into a worker or node, and seconds a message. All-reduce of n bytes
  // by p moves 2 (p - 1) / p n.
  double node_bandwidth = 2e9, node_latency = 5e-6;
  double bandwidth = 1.25e9, latency = 3e-5;
  double window_bandwidth = 4e9;  // of the encoder's gradients where all workers are on one node: reduced in place
  double memory = 3.5e8;          // bytes of a worker besides the model
  double activations = 1.5;       // bytes really used for one byte of activations as counted
};

struct PlanOptions {
  int workers = 1;
  int per_node = 1;       // workers on one node; ranks fill nodes one after another
  std::int64_t step = 1;  // whose mixture is taken
};

struct PlannedTask {
  std::string name;
  Kind kind = Kind::classification;
  TaskWork work;
  std::int64_t samples = 0;     // of that step
  std::int64_t parameters = 0;  // of its head
  double seconds = 0;           // a sample
  std::vector<int> group;
};

struct PlannedWorker {
  std::vector<int> tasks;             // ascending
  std::vector<std::int64_t> samples;  // of each of them, a step; samples are taken to be equally long
  double tokens = 0;                  // a step, of inputs and targets
  double parameters = 0, gradients = 0, optimizer = 0, activations = 0, teachers = 0;  // bytes
  double memory = 0;  // bytes: these, the gradients of others that it maps, and machine.memory
  double sent = 0;    // bytes a step
  double compute = 0, update = 0, communication = 0;  // seconds a step; the rest of the step it waits
};

// Seconds of a step, one part after another.
struct PlannedStep {
  double update = 0;                          // optimizer, of the slowest
  double compute = 0;                         // mean over workers
  double imbalance = 0;                       // by which the slowest worker's compute is longer
  double encoder = 0, groups = 0, small = 0;  // all-reduces: encoder gradients, heads' gradients, counts and losses
  double total() const { return update + compute + imbalance + encoder + groups + small; }
};

struct Plan {
  PlanOptions options;
  std::int64_t encoder_parameters = 0;
  std::vector<PlannedTask> tasks;
  std::vector<PlannedWorker> workers;
  PlannedStep step;
  double efficiency = 0;  // speed against N times that of one worker
  std::string limit;      // what bounds it: words
};

// Quotas and placement are those that training takes; parameters come from the model's own construction, without
// memory for them (2 x dim of the encoder are left out where a task has pairs of texts, which only the shards tell).
// Tasks without a cost take their operations by machine.operations. Throws as training does before its first step.
Plan make_plan(const TrainOptions& options, const Manifest& manifest, const Machine& machine, const PlanOptions& plan);

}  // namespace polyhead
