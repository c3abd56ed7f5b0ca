// Compares two systems on the headline metric of each task: their differences, the mean relative difference (delta m),
// and how far each of them generalizes from train to another split.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "core/kinds/task_kind.h"
#include "core/metrics/comparison.h"
#include "launch/compare/protocol.h"

namespace polyhead {

// What a system's runs give for a task, by seed.
struct SystemResults {
  std::vector<std::vector<double>> rows;        // of the headline metric on the split (see Evaluation::rows)
  std::vector<std::vector<double>> train = {};  // the same on samples of train; may be empty
  // Of training up to the checkpoint that was tested; may be empty. samples: of the task.
  std::vector<double> steps = {}, samples = {}, seconds = {};
};

struct TaskResults {
  std::string task;
  Kind kind = Kind::classification;
  Metric metric;
  SystemResults first, second;
  std::string with = {};  // of a pair: the other task; otherwise ""
};

// Means over seeds; NaN if something is not known.
struct Generalization {
  double train = 0;  // the metric on samples of train
  double gap = 0;    // above 0 the metric is better on train than on the split, also if a lower metric is better
  double steps = 0, samples = 0, seconds = 0;  // as in SystemResults
};

struct TaskDifference : Difference {
  std::string task, with, kind, metric;
  bool lower_is_better = false;
  Generalization of_first, of_second;
};

struct Comparison {
  std::string first, second;  // names of the systems
  std::vector<std::uint64_t> seeds;
  std::string split;
  Until until = Until::steps;
  int draws = 0;
  std::vector<TaskDifference> tasks;
  double delta_m = 0;         // mean of the tasks' relative differences; NaN if there are none
  Interval delta_m_interval;  // over the same draws, without those in which a task's `first` is 0
};

// Compares the headline metric of each task; for masked_lm and translation the log-perplexity. All tasks must have the
// same number of seeds.
Comparison compare_systems(std::span<const TaskResults> tasks, int draws);

}  // namespace polyhead
