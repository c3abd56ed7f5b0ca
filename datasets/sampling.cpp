// Quotas by largest remainder, the keyed permutation of an epoch, and stream positions of a step.
#include "datasets/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

constexpr std::uint64_t kTableLimit = 4096;
constexpr int kRounds = 8;
// Keeps the permutation's draws apart from those of dropout and masks, which derive from the same task key.
constexpr std::uint64_t kPermutationStream = 0x7065726d75746174ULL;

std::vector<double> rates_of(const MixtureOptions& options, const std::vector<std::string>& tasks,
                             const std::vector<std::uint64_t>& samples) {
  if (options.kind == "temperature" && !(std::isfinite(options.temperature) && options.temperature > 0))
    throw Error(Exit::config, fmt::format("mixture.temperature is {}, expected a number above 0 (1 is proportional, a "
                                          "large one nearly uniform)",
                                          options.temperature));
  std::vector<double> rates;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (samples[t] == 0)
      throw Error(Exit::data,
                  fmt::format("task '{}' has no training samples, expected at least 1: import some or leave "
                              "the task out of run.tasks",
                              tasks[t]));
    const auto size = static_cast<double>(samples[t]);
    if (options.kind == "proportional") {
      rates.push_back(size);
    } else if (options.kind == "uniform") {
      rates.push_back(1);
    } else if (options.kind == "temperature") {
      rates.push_back(std::pow(size, 1 / options.temperature));
    } else if (options.kind == "explicit") {
      const auto rate = options.rates.find(tasks[t]);
      if (rate == options.rates.end())
        throw Error(Exit::config, fmt::format("mixture.kind is explicit, but task '{}' has no rate: give task.{}.rate",
                                              tasks[t], tasks[t]));
      if (!(std::isfinite(rate->second) && rate->second > 0))
        throw Error(Exit::config, fmt::format("the rate of task '{}' is {}, expected a number above 0: leave the task "
                                              "out of run.tasks to train without it",
                                              tasks[t], rate->second));
      rates.push_back(rate->second);
    } else {
      throw Error(Exit::config, fmt::format("mixture.kind is '{}', expected proportional, uniform, temperature or "
                                            "explicit",
                                            options.kind));
    }
  }
  // A power with a tiny temperature overflows.
  const double total = std::accumulate(rates.begin(), rates.end(), 0.0);
  if (!std::isfinite(total))
    throw Error(Exit::config,
                fmt::format("the tasks' rates are too large to add (mixture.kind {}, temperature {}): use "
                            "a larger temperature or smaller rates",
                            options.kind, options.temperature));
  for (double& rate : rates) rate /= total;
  return rates;
}

struct TableKey {
  std::uint64_t key, epoch, n;
  bool operator==(const TableKey&) const = default;
};
struct TableHash {
  std::size_t operator()(const TableKey& k) const { return derive(derive(k.key, k.epoch), k.n); }
};

const std::vector<std::uint16_t>& table(const TableKey& which) {
  // 8 KiB a table at most: 2 MiB a thread.
  constexpr std::size_t kTables = 256;
  thread_local std::unordered_map<TableKey, std::vector<std::uint16_t>, TableHash> cache;
  if (const auto found = cache.find(which); found != cache.end()) return found->second;
  if (cache.size() >= kTables) cache.clear();
  std::vector<std::uint16_t> order(which.n);
  std::iota(order.begin(), order.end(), std::uint16_t{0});
  const std::uint64_t key = derive(derive(which.key, kPermutationStream), which.epoch);
  for (std::uint64_t i = which.n - 1; i > 0; --i)
    std::swap(order[i], order[bounded(draw(key, i), static_cast<std::uint32_t>(i + 1))]);
  return cache.emplace(which, std::move(order)).first->second;
}

}  // namespace

std::vector<std::uint64_t> train_samples(const Manifest& manifest, const std::vector<std::string>& tasks) {
  std::vector<std::uint64_t> samples;
  for (const std::string& name : tasks) {
    const TaskInfo& info = manifest.task(name);
    const auto train = info.splits.find("train");
    samples.push_back(train == info.splits.end() ? 0 : train->second.samples);
  }
  return samples;
}

std::vector<TaskQuota> quotas(const MixtureOptions& options, const std::vector<std::string>& tasks,
                              const std::vector<std::uint64_t>& samples) {
  if (tasks.empty())
    throw Error(Exit::config, "dividing the batch over the tasks: there are none, name at least one in run.tasks");
  if (samples.size() != tasks.size())
    throw Error(Exit::internal, fmt::format("quotas: {} tasks, but {} sizes", tasks.size(), samples.size()));
  if (options.batch < static_cast<std::int64_t>(tasks.size()))
    throw Error(Exit::config,
                fmt::format("mixture.batch is {}, but there are {} tasks and each takes at least one sample "
                            "a step: use mixture.batch = {} or more, or fewer tasks",
                            options.batch, tasks.size(), tasks.size()));
  const std::vector<double> rates = rates_of(options, tasks, samples);
  std::vector<TaskQuota> result(tasks.size());
  for (std::size_t t = 0; t < tasks.size(); ++t) result[t] = {rates[t], 0};

  // Tasks whose share is below one sample get one; the others share what is left in proportion, which may put more
  // below one.
  std::int64_t left = options.batch;
  double open_rate = 0;
  for (bool changed = true; changed;) {
    changed = false;
    open_rate = 0;
    for (std::size_t t = 0; t < tasks.size(); ++t)
      if (result[t].samples == 0) open_rate += rates[t];
    const std::int64_t sharing = left;
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      if (result[t].samples != 0 || rates[t] / open_rate * static_cast<double>(sharing) >= 1) continue;
      result[t].samples = 1;
      --left;
      changed = true;
    }
  }
  std::vector<std::pair<double, std::size_t>> remainders;
  const std::int64_t sharing = left;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (result[t].samples != 0) continue;
    const double share = rates[t] / open_rate * static_cast<double>(sharing);
    result[t].samples = static_cast<std::int64_t>(share);
    left -= result[t].samples;
    remainders.emplace_back(share - std::floor(share), t);
  }
  // Ties go to the earlier task.
  std::stable_sort(remainders.begin(), remainders.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t i = 0; left > 0; ++i, --left) ++result[remainders[i % remainders.size()].second].samples;
  return result;
}

std::uint64_t task_key(std::uint64_t seed, const std::string& task) {
  return derive(mix64(seed), hash_bytes(task));
}

std::uint64_t permute(std::uint64_t key, std::uint64_t epoch, std::uint64_t n, std::uint64_t i) {
  if (i >= n) throw Error(Exit::internal, fmt::format("permute: index {} of {}", i, n));
  if (n <= kTableLimit) return table({key, epoch, n})[i];
  // Blocks below 16 bits show patterns whatever the number of rounds.
  const int half = std::max(8, (static_cast<int>(std::bit_width(n - 1)) + 1) / 2);
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  const std::uint64_t epoch_key = derive(derive(key, kPermutationStream), epoch);
  do {  // cycle walking: a value outside 0..n-1 is permuted again
    std::uint64_t left = i >> half, right = i & mask;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const std::uint64_t mixed = left ^ (draw(epoch_key, round << 32 | right) & mask);
      left = right;
      right = mixed;
    }
    i = left << half | right;
  } while (i >= n);
  return i;
}

PositionRange positions(const std::vector<MixtureEntry>& entries, std::size_t task, std::int64_t step) {
  const auto entry =
      std::find_if(entries.rbegin(), entries.rend(), [&](const MixtureEntry& e) { return e.step <= step; });
  if (entry == entries.rend())
    throw Error(Exit::internal, fmt::format("positions: no mixture entry covers step {}", step));
  if (task >= entry->quota.size() || task >= entry->first.size())
    throw Error(Exit::internal, fmt::format("positions: task {} of a mixture entry with {} quotas and {} positions",
                                            task, entry->quota.size(), entry->first.size()));
  const std::int64_t quota = entry->quota[task];
  return {entry->first[task] + static_cast<std::uint64_t>(step - entry->step) * static_cast<std::uint64_t>(quota),
          quota};
}

}  // namespace polyhead
