// What the tasks' gradients say about the tasks: conflicts between them, and who drives the encoder's update.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/balancing/square_matrix.h"

namespace polyhead {

// NaN: not defined, for example a cosine with a gradient that is 0.
struct GradientReport {
  std::vector<std::size_t> tasks;           // those with a gradient in this step, ascending
  std::vector<double> norms;                // [tasks] of the gradients of their mean losses with respect to the encoder
  std::vector<std::vector<double>> cosine;  // [tasks][0 .. i - 1] between gradients
  // [tasks] w_t g_t·d / (d·d) of the update's direction d = sum of w_t g_t. They sum to 1. A negative one: the update
  // increases the task's loss, to first order.
  std::vector<double> update_share;
  double conflict_share = 0;  // share of pairs with a negative cosine
  double worst_cosine = 0;    // the smallest cosine between a task's gradient and d
  double condition = 0;       // condition number of the matrix of cosines
  std::int64_t sketch = 0;    // the gradients were compared by sketches of this size; 0: exactly
  double seconds = 0;         // that this measurement took on rank 0
  double sent = 0;            // bytes that rank 0 sent for the encoder's gradient in this step; 0: as a plain step
};

// tasks: those with a gradient. gram: [all tasks, all tasks] inner products of the gradients of the tasks' mean losses.
// weights: [all tasks] of the gradients in the update.
GradientReport gradient_report(const std::vector<std::size_t>& tasks, const SquareMatrix& gram,
                               const std::vector<double>& weights);

}  // namespace polyhead
