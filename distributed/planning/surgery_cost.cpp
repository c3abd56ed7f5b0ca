// See surgery_cost.h. With m tasks on a worker of N, the exchange of slices sends m (N - 1) / N times the encoder's
// bytes, and the sum once more (N - 1) / N times; a plain all-reduce sends 2 (N - 1) / N times.
#include "distributed/planning/surgery_cost.h"

#include <algorithm>

#include "core/balancing/balancer.h"
#include "core/balancing/sketch.h"
#include "distributed/step/sharding.h"
#include "distributed/step/slice_transpose.h"

namespace polyhead {
namespace {

double all_reduce_sent(double bytes, int workers) {
  return 2.0 * (workers - 1) / workers * bytes;
}

}  // namespace

SurgeryCost surgery_cost(const SurgeryCase& of) {
  const SurgeryOptions& options = of.options.surgery;
  const auto balancer = make_balancer(of.options.balancer, of.options.tasks, of.options.seed);
  const bool buffered = balancer->buffer(1).kind != TaskBuffer::Kind::none;
  const auto tasks = static_cast<double>(of.groups.size());
  const auto active = static_cast<double>(std::ranges::count(of.active, true));
  // The losses of all tasks are sent with the inner products.
  const double numbers = tasks + (balancer->reads() == Balancer::Reads::norms ? active : active * (active + 1) / 2) +
                         (buffered ? tasks + active : 0);
  const double small = all_reduce_sent(numbers * sizeof(double), of.workers);
  const double plain = all_reduce_sent(static_cast<double>(of.elements) * of.width, of.workers);
  const auto every = static_cast<double>(options.every);
  SurgeryCost cost;
  double most = 0;
  for (int worker = 0; worker < of.workers; ++worker) {
    std::size_t held = 0;
    double sending = 0, slices = 0;
    for (std::size_t task = 0; task < of.groups.size(); ++task) {
      const auto mine = std::ranges::count(of.groups[task], worker);
      held += static_cast<std::size_t>(mine);
      if (!of.active[task]) continue;
      sending += static_cast<double>(mine);
      slices += static_cast<double>(of.groups[task].size());
    }
    const auto bytes = [&](std::int64_t elements) { return static_cast<double>(elements) * of.width; };
    const double own = bytes(part_of(of.elements, worker, of.workers).size());
    const double own_block = bytes(part_of(of.last_block, worker, of.workers).size());
    double measured = small;
    if (options.scope == BalanceScope::all)
      measured += sending * (bytes(of.elements) - own) + (of.options.shard_optimizer ? 0 : (of.workers - 1) * own);
    else if (options.scope == BalanceScope::last_block)
      measured += sending * (bytes(of.last_block) - own_block) + plain;
    else
      measured +=
          all_reduce_sent(tasks * static_cast<double>(sketch_size(options.sketch_size)) * sizeof(double), of.workers) +
          plain;
    cost.sent.push_back((measured + (every - 1) * plain) / every);
    // Beside the sum.
    cost.gradients.push_back(static_cast<double>(gradient_tensors(held) - 1) * bytes(of.elements));
    cost.received.push_back(options.scope == BalanceScope::all ? slices * own : 0);
    most = std::max(most, cost.sent.back());
  }
  if (plain > 0) cost.exchanged = most / plain;
  return cost;
}

}  // namespace polyhead
