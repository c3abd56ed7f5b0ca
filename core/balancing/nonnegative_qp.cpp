#include "core/balancing/nonnegative_qp.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyhead {
namespace {

constexpr int kSweeps = 6;     // of coordinate descent
constexpr int kExchanges = 4;  // of many variables at once

}  // namespace

NonnegativeQp::NonnegativeQp(const SquareMatrix& matrix, double dependence)
    : matrix_(matrix),
      dependence_(dependence),
      factor_(matrix.size()),
      x_(matrix.size(), 0),
      is_positive_(matrix.size(), false) {}

void NonnegativeQp::reset() {
  std::ranges::fill(x_, 0.0);
}

std::vector<double> NonnegativeQp::gradient(const std::vector<double>& b) const {
  std::vector<double> gradient = b;
  for (std::size_t i = 0; i < x_.size(); ++i)
    if (x_[i] != 0) add_scaled(-x_[i], row_of(matrix_, i), gradient);
  return gradient;
}

// The rounding of a gradient.
double NonnegativeQp::tolerance(const std::vector<double>& b) const {
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  return 1e-14 * (largest + sum(x_));
}

void NonnegativeQp::descend(const std::vector<double>& b) {
  std::vector<double> slope = gradient(b);
  const double small = 1e-3 * tolerance(b);
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    bool changed = false;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const double next = std::max(0.0, x_[i] + slope[i] / matrix_(i, i)), change = next - x_[i];
      if (std::abs(change) <= small) continue;
      x_[i] = next;
      add_scaled(-change, row_of(matrix_, i), slope);
      changed = true;
    }
    if (!changed) break;
  }
}

bool NonnegativeQp::append(std::size_t variable) {
  std::vector<double> products(positive_.size());
  for (std::size_t k = 0; k < positive_.size(); ++k) products[k] = matrix_(variable, positive_[k]);
  if (!factor_.append(products, matrix_(variable, variable), dependence_)) return false;
  positive_.push_back(variable);
  is_positive_[variable] = true;
  return true;
}

void NonnegativeQp::leave(std::size_t position) {
  const std::size_t variable = positive_[position];
  x_[variable] = 0;
  is_positive_[variable] = false;
  positive_.erase(positive_.begin() + static_cast<std::ptrdiff_t>(position));
  factor_.remove(position);
}

std::vector<double> NonnegativeQp::solve_positive(std::vector<double> b) const {
  factor_.solve(b);
  return b;
}

// Makes those variables of the guess positive whose values are, when all others are 0.
void NonnegativeQp::start_from(std::vector<std::size_t> guess, const std::vector<double>& b) {
  while (true) {
    factor_.clear();
    positive_.clear();
    is_positive_.assign(x_.size(), false);
    std::ranges::fill(x_, 0.0);
    for (const std::size_t variable : guess) append(variable);
    std::vector<double> values;
    for (const std::size_t variable : positive_) values.push_back(b[variable]);
    factor_.solve(values);
    guess.clear();
    for (std::size_t k = 0; k < values.size(); ++k)
      if (values[k] > 0) guess.push_back(positive_[k]);
    if (guess.size() < positive_.size()) continue;
    for (std::size_t k = 0; k < values.size(); ++k) x_[positive_[k]] = values[k];
    return;
  }
}

// Lets all variables enter whose gradient is positive. Returns whether there were more than a few.
bool NonnegativeQp::exchange(const std::vector<double>& b) {
  const std::vector<double> slope = gradient(b);
  const double small = tolerance(b);
  std::vector<std::size_t> guess = positive_;
  for (std::size_t i = 0; i < slope.size(); ++i)
    if (!is_positive_[i] && slope[i] > small) guess.push_back(i);
  if (guess.size() < positive_.size() + 4) return false;
  start_from(std::move(guess), b);
  return true;
}

NonnegativeQp::Entry NonnegativeQp::enter(std::size_t variable, double slope, const std::vector<double>& b) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  while (true) {
    // With a step of 1 of the variable, the positive ones change by -rates and its own gradient by -curvature.
    std::vector<double> rates;
    for (const std::size_t other : positive_) rates.push_back(matrix_(variable, other));
    const std::vector<double> products = rates;
    factor_.solve(rates);
    const double square = matrix_(variable, variable), curvature = square - dot(products, rates);
    const bool dependent = !(curvature > dependence_ * square);
    const double full = dependent ? kInfinity : std::max(0.0, slope / curvature);
    double step = full;
    std::size_t leaving = positive_.size();
    for (std::size_t k = 0; k < positive_.size(); ++k) {
      if (rates[k] <= 0 || x_[positive_[k]] / rates[k] >= step) continue;
      step = x_[positive_[k]] / rates[k];
      leaving = k;
    }
    if (step == kInfinity) return slope > 0 ? Entry::unbounded : Entry::blocked;
    for (std::size_t k = 0; k < positive_.size(); ++k)
      x_[positive_[k]] = std::max(0.0, x_[positive_[k]] - step * rates[k]);
    x_[variable] += step;
    if (leaving == positive_.size()) return append(variable) ? Entry::done : Entry::blocked;
    leave(leaving);
    slope = b[variable] - dot(row_of(matrix_, variable), x_);
  }
}

// Solves for the positive variables once more, since errors add up over the steps.
void NonnegativeQp::polish(const std::vector<double>& b) {
  for (int round = 0; round < 2; ++round) {
    const std::vector<double> slope = gradient(b);
    std::vector<double> change;
    for (const std::size_t variable : positive_) change.push_back(slope[variable]);
    factor_.solve(change);
    for (std::size_t k = 0; k < change.size(); ++k)
      if (!(x_[positive_[k]] + change[k] > 0)) return;
    for (std::size_t k = 0; k < change.size(); ++k) x_[positive_[k]] += change[k];
  }
}

bool NonnegativeQp::solve(const std::vector<double>& b) {
  descend(b);
  std::vector<std::size_t> guess;
  for (std::size_t i = 0; i < x_.size(); ++i)
    if (x_[i] > 0) guess.push_back(i);
  start_from(std::move(guess), b);
  for (int round = 0; round < kExchanges && exchange(b); ++round) {
  }
  std::vector<bool> blocked(x_.size(), false);
  for (std::size_t steps = 0; steps < 10 * x_.size() + 10; ++steps) {
    const std::vector<double> slope = gradient(b);
    std::size_t best = x_.size();
    for (std::size_t i = 0; i < slope.size(); ++i)
      if (!is_positive_[i] && !blocked[i] && (best == x_.size() || slope[i] > slope[best])) best = i;
    if (best == x_.size() || slope[best] <= tolerance(b)) break;
    const Entry entry = enter(best, slope[best], b);
    if (entry == Entry::unbounded) return false;
    blocked[best] = entry == Entry::blocked;
  }
  polish(b);
  return true;
}

}  // namespace polyhead
