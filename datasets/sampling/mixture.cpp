// Converts rates to quotas by largest remainder, and quotas of phases to stream positions.
#include "datasets/sampling/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"

namespace polyhead {
namespace {

// Returns shares of the batch, [tasks]; 0 for a task that takes no part.
std::vector<double> shares(const Mixture& mixture, const std::vector<std::string>& tasks,
                           const std::vector<std::uint64_t>& samples) {
  const auto above_zero = [](double value) { return std::isfinite(value) && value > 0; };
  if (mixture.kind == "temperature" && !above_zero(mixture.temperature))
    throw Error(Exit::config, fmt::format("mixture.temperature is {}, expected a number above 0 (1 is proportional, a "
                                          "large one nearly uniform)",
                                          mixture.temperature));
  if (mixture.cap < 0)
    throw Error(Exit::config,
                fmt::format("mixture.cap is {}, expected a number of samples above 0, or 0 for none", mixture.cap));
  std::vector<double> rates;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (samples[t] == 0)
      throw Error(Exit::data,
                  fmt::format("task '{}' has no training samples, expected at least 1: import some or leave "
                              "the task out of run.tasks",
                              tasks[t]));
    const auto size = static_cast<double>(samples[t]);
    if (mixture.kind == "proportional") {
      rates.push_back(size);
    } else if (mixture.kind == "uniform") {
      rates.push_back(1);
    } else if (mixture.kind == "temperature") {
      const double counted = mixture.cap > 0 ? std::min(size, static_cast<double>(mixture.cap)) : size;
      rates.push_back(std::pow(counted, 1 / mixture.temperature));
    } else if (mixture.kind == "explicit") {
      const auto rate = mixture.rates.find(tasks[t]);
      if (rate == mixture.rates.end())
        throw Error(Exit::config,
                    fmt::format("mixture.kind is explicit, but task '{}' has no rate: give task.{}.rate, 0 to "
                                "leave it out",
                                tasks[t], tasks[t]));
      if (rate->second != 0 && !above_zero(rate->second))
        throw Error(Exit::config, fmt::format("the rate of task '{}' is {}, expected a number above 0, or 0 to leave "
                                              "the task out",
                                              tasks[t], rate->second));
      rates.push_back(rate->second);
    } else {
      throw Error(Exit::config, fmt::format("mixture.kind is '{}', expected proportional, uniform, temperature or "
                                            "explicit",
                                            mixture.kind));
    }
  }
  // A power with a very small temperature would overflow.
  const double total = std::accumulate(rates.begin(), rates.end(), 0.0);
  if (!std::isfinite(total))
    throw Error(Exit::config,
                fmt::format("the tasks' rates are too large to add (mixture.kind {}, temperature {}): use "
                            "a larger temperature or smaller rates",
                            mixture.kind, mixture.temperature));
  if (total <= 0)
    throw Error(Exit::config, "the rates of all tasks are 0: give at least one task a rate above 0 (task.NAME.rate)");
  for (double& rate : rates) rate /= total;
  return rates;
}

}  // namespace

std::string describe(const Mixture& mixture) {
  std::string text = mixture.kind;
  if (mixture.kind == "temperature") text += fmt::format(" {}", mixture.temperature);
  if (mixture.kind == "temperature" && mixture.cap > 0) text += fmt::format(", cap {}", mixture.cap);
  return text;
}

std::vector<std::uint64_t> train_samples(const Manifest& manifest, const std::vector<std::string>& tasks) {
  std::vector<std::uint64_t> samples;
  for (const std::string& name : tasks) {
    const TaskInfo& info = manifest.task(name);
    const auto train = info.splits.find("train");
    samples.push_back(train == info.splits.end() ? 0 : train->second.samples);
  }
  return samples;
}

std::vector<TaskQuota> quotas(const Mixture& mixture, std::int64_t batch, const std::vector<std::string>& tasks,
                              const std::vector<std::uint64_t>& samples) {
  if (tasks.empty())
    throw Error(Exit::config, "dividing the batch over the tasks: there are none, name at least one in run.tasks");
  if (samples.size() != tasks.size())
    throw Error(Exit::internal, fmt::format("quotas: {} tasks, but {} sizes", tasks.size(), samples.size()));
  const std::vector<double> share = shares(mixture, tasks, samples);
  const auto active = std::ranges::count_if(share, [](double s) { return s > 0; });
  if (batch < active)
    throw Error(Exit::config,
                fmt::format("mixture.batch is {}, but there are {} tasks and each takes at least one sample "
                            "a step: use mixture.batch = {} or more, or fewer tasks",
                            batch, active, active));
  std::vector<TaskQuota> result(tasks.size());
  for (std::size_t t = 0; t < tasks.size(); ++t) result[t] = {share[t], 0};

  // Tasks whose share is below one sample get one sample. The others divide the rest in proportion, after which further
  // shares may be below one.
  const auto open = [&](std::size_t t) { return share[t] > 0 && result[t].samples == 0; };
  std::int64_t left = batch;
  double open_share = 0;
  for (bool changed = true; changed;) {
    changed = false;
    open_share = 0;
    for (std::size_t t = 0; t < tasks.size(); ++t)
      if (open(t)) open_share += share[t];
    const std::int64_t sharing = left;
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      if (!open(t) || share[t] / open_share * static_cast<double>(sharing) >= 1) continue;
      result[t].samples = 1;
      --left;
      changed = true;
    }
  }
  std::vector<std::pair<double, std::size_t>> remainders;
  const std::int64_t sharing = left;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (!open(t)) continue;
    const double exact = share[t] / open_share * static_cast<double>(sharing);
    result[t].samples = static_cast<std::int64_t>(exact);
    left -= result[t].samples;
    remainders.emplace_back(exact - std::floor(exact), t);
  }
  // The earlier task wins a tie.
  std::stable_sort(remainders.begin(), remainders.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t i = 0; left > 0; ++i, --left) ++result[remainders[i % remainders.size()].second].samples;
  return result;
}

std::vector<std::vector<TaskQuota>> phase_quotas(const MixtureOptions& options, const std::vector<std::string>& tasks,
                                                 const std::vector<std::uint64_t>& samples) {
  std::vector<std::vector<TaskQuota>> result;
  for (const MixturePhase& phase : options.phases) {
    if (result.empty() ? phase.step != 1 : phase.step <= options.phases[result.size() - 1].step)
      throw Error(Exit::internal, fmt::format("mixture: phase {} begins at step {}; the first begins at step 1, each "
                                              "other after the one before it",
                                              result.size() + 1, phase.step));
    try {
      result.push_back(quotas(phase.mixture, options.batch, tasks, samples));
    } catch (const Error& error) {
      if (phase.step == 1) throw;
      throw Error(error.code(), fmt::format("the mixture from step {} on: {}", phase.step, error.what()));
    }
  }
  for (std::size_t t = 0; t < tasks.size(); ++t)
    if (std::ranges::all_of(result, [&](const auto& phase) { return phase[t].samples == 0; }))
      throw Error(Exit::config, fmt::format("task '{}' takes part in no phase of the mixture: give it a rate above 0 "
                                            "(task.{}.rate, mixture.phases), or leave it out of run.tasks",
                                            tasks[t], tasks[t]));
  return result;
}

std::vector<MixtureEntry> entries_of(const MixtureOptions& options, const std::vector<std::vector<TaskQuota>>& quotas) {
  std::vector<MixtureEntry> entries;
  for (std::size_t phase = 0; phase < quotas.size(); ++phase) {
    MixtureEntry entry{.step = options.phases[phase].step, .quota = {}, .first = {}};
    for (std::size_t task = 0; task < quotas[phase].size(); ++task) {
      entry.quota.push_back(quotas[phase][task].samples);
      entry.first.push_back(entries.empty() ? 0 : positions(entries, task, entry.step).first);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<MixtureEntry> without(const std::vector<MixtureEntry>& entries, const std::vector<bool>& left,
                                  std::int64_t step, const MixtureOptions& options,
                                  const std::vector<std::string>& tasks, const std::vector<std::uint64_t>& samples) {
  std::vector<std::size_t> staying;
  std::vector<std::string> names;
  std::vector<std::uint64_t> sizes;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (left.at(t)) continue;
    staying.push_back(t);
    names.push_back(tasks[t]);
    sizes.push_back(samples[t]);
  }
  std::vector<MixtureEntry> result;
  std::ranges::copy_if(entries, std::back_inserter(result), [&](const MixtureEntry& e) { return e.step < step; });
  for (std::size_t p = 0; p < options.phases.size(); ++p) {
    if (p + 1 < options.phases.size() && options.phases[p + 1].step <= step) continue;
    Mixture mixture = options.phases[p].mixture;
    if (mixture.kind == "explicit" &&
        std::ranges::none_of(names, [&](const std::string& name) { return mixture.rates.at(name) > 0; }))
      mixture = {.kind = "uniform", .temperature = 1, .cap = 0, .rates = {}};
    const std::vector<TaskQuota> taken = quotas(mixture, options.batch, names, sizes);
    MixtureEntry entry{.step = std::max(step, options.phases[p].step), .quota = {}, .first = {}};
    entry.quota.assign(tasks.size(), 0);
    for (std::size_t i = 0; i < staying.size(); ++i) entry.quota[staying[i]] = taken[i].samples;
    for (std::size_t t = 0; t < tasks.size(); ++t)
      entry.first.push_back(result.empty() ? 0 : positions(result, t, entry.step).first);
    result.push_back(std::move(entry));
  }
  return result;
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

std::vector<double> epochs(const std::vector<MixtureEntry>& entries, const std::vector<std::uint64_t>& samples,
                           std::int64_t step) {
  std::vector<double> result(samples.size(), 0);
  if (step == 0) return result;
  for (std::size_t task = 0; task < samples.size(); ++task) {
    const auto [first, count] = positions(entries, task, step);
    result[task] = (static_cast<double>(first) + static_cast<double>(count)) / static_cast<double>(samples[task]);
  }
  return result;
}

std::string describe(const MixtureOptions& options, const std::vector<std::vector<TaskQuota>>& quotas,
                     const std::vector<std::string>& tasks, const std::vector<std::uint64_t>& samples,
                     std::int64_t steps) {
  std::string text;
  for (std::size_t p = 0; p < quotas.size(); ++p) {
    const std::int64_t last = p + 1 < quotas.size() ? options.phases[p + 1].step - 1 : steps;
    text += fmt::format("mixture of steps {} to {}: {}, {} samples a step\n", options.phases[p].step, last,
                        describe(options.phases[p].mixture), options.batch);
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      const auto [requested, taken] = quotas[p][t];
      if (taken == 0) {
        text += fmt::format("  {}: takes no part\n", tasks[t]);
        continue;
      }
      const double realised = static_cast<double>(taken) / static_cast<double>(options.batch);
      text +=
          fmt::format("  {}: {} ({:.1f} %, {:.1f} % requested){}\n", tasks[t], taken, 100 * realised, 100 * requested,
                      std::abs(realised - requested) > 0.1 * requested
                          ? "  warning: more than 10 % off; a larger mixture.batch comes closer"
                          : "");
    }
  }
  const std::vector<double> planned = epochs(entries_of(options, quotas), samples, steps);
  text += fmt::format("epochs in {} steps:", steps);
  for (std::size_t t = 0; t < tasks.size(); ++t)
    text += fmt::format("{} {} {:.2f}", t > 0 ? "," : "", tasks[t], planned[t]);
  return text + "\n";
}

}  // namespace polyhead
