// How much a step along one task's gradient lowers another task's loss (inter-task affinity: Fifty et al., Efficiently
// Identifying Task Groupings for Multi-Task Learning, 2021), from the gradients' norms and cosines, to first order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "core/balancing/square_matrix.h"
#include "core/metrics/batch_means.h"

namespace polyhead {

// What one step of training measured.
struct GradientStep {
  double lr = 0;                   // learning rate of the encoder
  std::vector<std::size_t> tasks;  // [active] numbers of the tasks that were active, each once
  std::vector<double> norm;        // [active] of the gradient of each mean loss with respect to the encoder
  std::vector<double> loss;        // [active] mean losses
  SquareMatrix cosine;             // [active, active] of these gradients; only below the diagonal
};

// Of an ordered pair of tasks (i, j).
struct PairAffinity {
  Estimate affinity;                 // of i for j; of i for itself where i = j
  Estimate symmetric;                // mean of that and of j for i
  Estimate cosine;                   // mean cosine of their gradients; 1 where i = j
  double cosine_spread = kNotKnown;  // standard deviation of the cosine over steps; NaN for fewer than two
  double conflicts = kNotKnown;      // share of steps in which the cosine is below 0
};

struct Affinity {
  std::size_t tasks = 0;
  std::size_t blocks = 0;  // of steps, for the intervals
  std::int64_t steps = 0;
  std::vector<std::int64_t> task_steps;  // [tasks] in which each task was active
  std::vector<PairAffinity> pairs;       // [tasks, tasks]

  const PairAffinity& pair(std::size_t i, std::size_t j) const { return pairs[i * tasks + j]; }
};

// Sums over steps. The affinity of task i for task j in a step is Z_ij = lr <g_i, g_j> / L_j, the share of the loss of
// j by which a plain gradient step along g_i alone would lower it. It is averaged over the steps in which both tasks
// are active and everything is finite.
// - A step in which L_j <= 0 has no Z_ij, because a share of such a loss says nothing.
// - A gradient of norm 0 gives Z_ij = 0, and no cosine.
class AffinitySums {
 public:
  // Adds a step; steps come in their order. Throws Error(internal) if the sizes of its members differ.
  void add(const GradientStep& step);
  // Returns means over all steps so far. Their intervals come from blocks of consecutive steps: as many blocks as
  // steps up to 32, and from 17 to 32 blocks of equal length beyond that, of which the last may be incomplete.
  Affinity result() const;

 private:
  struct Pair {                                       // tasks i >= j
    BlockSum of_first, of_second, symmetric, cosine;  // of_first: of i for j
    double squares = 0;                               // of the cosine
    std::int64_t conflicts = 0;
    void add(const Pair& other);
  };
  using Block = std::vector<Pair>;  // pair (i, j) is at i (i + 1) / 2 + j

  static void add_pair(const GradientStep& step, std::size_t a, std::size_t b, Pair& pair);
  void merge_blocks();

  std::deque<Block> blocks_;
  std::int64_t per_block_ = 1, in_last_ = 0, steps_ = 0;
  std::vector<std::int64_t> task_steps_;
};

// Returns the [tasks, tasks] matrix of a mean: 0 where no step has a value, and on the diagonal. affinity(i, j): of i
// for j.
SquareMatrix mean_affinity(const Affinity& affinity);
SquareMatrix mean_cosine(const Affinity& affinity);

}  // namespace polyhead
