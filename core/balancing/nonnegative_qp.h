// Quadratic programs with bounds at 0.
#pragma once

#include <cstddef>
#include <vector>

#include "core/balancing/linear_algebra.h"

namespace polyhead {

// Minimises x' matrix x / 2 - b' x over x >= 0 for several b. The matrix is symmetric and positive semidefinite, with a
// diagonal near 1, and outlives this object.
//
// A few sweeps of coordinate descent, starting from the solution of the call before, guess which x are positive; these
// are solved for by a Cholesky factor. Then variables enter one at a time, the one with the largest gradient first, and
// leave where they would become negative (Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23; the dual
// method of Goldfarb and Idnani, 1983, makes the same steps). The objective falls in each of them, so they end.
class NonnegativeQp {
 public:
  // dependence: a variable whose column the others explain up to this share of its square is linearly dependent.
  NonnegativeQp(const SquareMatrix& matrix, double dependence);

  // Sets x(). Returns false if the objective has no lower bound, with x() where this was found.
  bool solve(const std::vector<double>& b);
  // Forgets the solution that the next call would start from.
  void reset();

  const std::vector<double>& x() const { return x_; }
  const std::vector<std::size_t>& positive() const { return positive_; }  // the variables above 0
  // Solves matrix y = b for the rows and columns of the positive variables; b, y: [positive().size()].
  std::vector<double> solve_positive(std::vector<double> b) const;

 private:
  enum class Entry { done, blocked, unbounded };

  void descend(const std::vector<double>& b);
  void start_from(std::vector<std::size_t> guess, const std::vector<double>& b);
  bool exchange(const std::vector<double>& b);
  Entry enter(std::size_t variable, double gradient, const std::vector<double>& b);
  void leave(std::size_t position);
  bool append(std::size_t variable);
  void polish(const std::vector<double>& b);
  std::vector<double> gradient(const std::vector<double>& b) const;
  double tolerance(const std::vector<double>& b) const;

  const SquareMatrix& matrix_;
  double dependence_;
  GrowingCholesky factor_;             // of the rows and columns of positive_
  std::vector<double> x_;              // [n]
  std::vector<std::size_t> positive_;  // in the order of factor_
  std::vector<bool> is_positive_;      // [n]
};

}  // namespace polyhead
