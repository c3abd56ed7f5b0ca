// Sums of affinities and cosines over blocks of steps. Two neighbouring blocks become one when there are too many, so a
// run of any length needs the same memory.
#include "core/metrics/affinity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr std::size_t kMaxBlocks = 32;  // even

std::size_t place(std::size_t i, std::size_t j) {
  return i >= j ? i * (i + 1) / 2 + j : j * (j + 1) / 2 + i;
}

template <class Mean>
SquareMatrix matrix_of(const Affinity& affinity, Mean mean) {
  SquareMatrix out(affinity.tasks);
  for (std::size_t i = 0; i < affinity.tasks; ++i)
    for (std::size_t j = 0; j < affinity.tasks; ++j)
      if (const double value = mean(affinity.pair(i, j)); i != j && !std::isnan(value)) out(i, j) = value;
  return out;
}

}  // namespace

void AffinitySums::Pair::add(const Pair& other) {
  of_first.add(other.of_first);
  of_second.add(other.of_second);
  symmetric.add(other.symmetric);
  cosine.add(other.cosine);
  squares += other.squares;
  conflicts += other.conflicts;
}

// Adds the pair of the active tasks at a and b of the step to the sums of the pair of their numbers.
void AffinitySums::add_pair(const GradientStep& step, std::size_t a, std::size_t b, Pair& pair) {
  const double cosine = a == b ? 1 : step.cosine(std::max(a, b), std::min(a, b));
  const bool zero = step.norm[a] == 0 || step.norm[b] == 0;
  const double product = zero ? 0 : step.norm[a] * step.norm[b] * cosine;
  if (!std::isfinite(step.norm[a]) || !std::isfinite(step.norm[b]) || !std::isfinite(product)) return;
  if (!zero) {
    pair.cosine.add(cosine);
    pair.squares += cosine * cosine;
    if (cosine < 0) ++pair.conflicts;
  }
  const auto affinity_for = [&](std::size_t target) {
    const double loss = step.loss[target], affinity = step.lr * product / loss;
    return loss > 0 && std::isfinite(loss) && std::isfinite(affinity) ? affinity : kNotKnown;
  };
  const double of_a = affinity_for(b), of_b = affinity_for(a);
  const bool a_first = step.tasks[a] >= step.tasks[b];
  if (!std::isnan(of_a)) (a_first ? pair.of_first : pair.of_second).add(of_a);
  if (!std::isnan(of_b)) (a_first ? pair.of_second : pair.of_first).add(of_b);
  if (!std::isnan(of_a) && !std::isnan(of_b)) pair.symmetric.add((of_a + of_b) / 2);
}

void AffinitySums::merge_blocks() {
  std::deque<Block> merged;
  for (std::size_t b = 0; b < blocks_.size(); b += 2) {
    Block& sum = merged.emplace_back(std::move(blocks_[b]));
    const Block& next = blocks_[b + 1];
    if (sum.size() < next.size()) sum.resize(next.size());
    for (std::size_t i = 0; i < next.size(); ++i) sum[i].add(next[i]);
  }
  blocks_ = std::move(merged);
  per_block_ *= 2;
}

void AffinitySums::add(const GradientStep& step) {
  const std::size_t active = step.tasks.size();
  if (step.norm.size() != active || step.loss.size() != active || step.cosine.size() != active)
    throw Error(Exit::internal, fmt::format("AffinitySums::add: {} tasks, {} norms, {} losses, {} rows of cosines",
                                            active, step.norm.size(), step.loss.size(), step.cosine.size()));
  if (blocks_.empty() || in_last_ == per_block_) {
    if (blocks_.size() == kMaxBlocks) merge_blocks();
    blocks_.emplace_back();
    in_last_ = 0;
  }
  ++in_last_, ++steps_;
  for (const std::size_t task : step.tasks) {
    if (task >= task_steps_.size()) task_steps_.resize(task + 1);
    ++task_steps_[task];
  }
  Block& block = blocks_.back();
  block.resize(std::max(block.size(), place(task_steps_.size(), 0)));
  for (std::size_t a = 0; a < active; ++a)
    for (std::size_t b = 0; b <= a; ++b) add_pair(step, a, b, block[place(step.tasks[a], step.tasks[b])]);
}

Affinity AffinitySums::result() const {
  Affinity out{task_steps_.size(), blocks_.size(), steps_, task_steps_, {}};
  out.pairs.resize(out.tasks * out.tasks);
  const auto estimate = [&](std::size_t at, BlockSum Pair::*member) {
    std::vector<BlockSum> sums;
    for (const Block& block : blocks_) sums.push_back(at < block.size() ? block[at].*member : BlockSum{});
    return mean_over_blocks(sums);
  };
  for (std::size_t i = 0; i < out.tasks; ++i)
    for (std::size_t j = 0; j < out.tasks; ++j) {
      const std::size_t at = place(i, j);
      PairAffinity& pair = out.pairs[i * out.tasks + j];
      pair.affinity = estimate(at, i >= j ? &Pair::of_first : &Pair::of_second);
      pair.symmetric = estimate(at, &Pair::symmetric);
      pair.cosine = estimate(at, &Pair::cosine);
      Pair all;
      for (const Block& block : blocks_)
        if (at < block.size()) all.add(block[at]);
      const auto steps = static_cast<double>(all.cosine.count);
      if (steps > 0) pair.conflicts = static_cast<double>(all.conflicts) / steps;
      if (steps > 1)
        pair.cosine_spread =
            std::sqrt(std::max(0.0, (all.squares - all.cosine.sum * all.cosine.sum / steps) / (steps - 1)));
    }
  return out;
}

SquareMatrix mean_affinity(const Affinity& affinity) {
  return matrix_of(affinity, [](const PairAffinity& pair) { return pair.affinity.mean; });
}

SquareMatrix mean_cosine(const Affinity& affinity) {
  return matrix_of(affinity, [](const PairAffinity& pair) { return pair.cosine.mean; });
}

}  // namespace polyhead
