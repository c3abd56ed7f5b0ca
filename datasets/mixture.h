// How a step's samples are shared out among tasks: a mixture's rates, quotas by largest remainder, and phases that
// change them at given steps. Where a task's stream stands at a step follows from the phases alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "datasets/manifest.h"

namespace polyhead {

struct Mixture {
  std::string kind = "temperature";     // proportional | uniform | temperature | explicit
  double temperature = 2;               // rate ~ min(samples, cap)^(1/temperature)
  double cap = 0;                       // 0: none
  std::map<std::string, double> rates;  // explicit: relative rate of every task; 0: takes no part
};

// "temperature 2, cap 10000"
std::string describe(const Mixture& mixture);

struct MixturePhase {
  std::int64_t step = 1;  // the first with this mixture (steps count from 1)
  Mixture mixture;
};

struct MixtureOptions {
  std::int64_t batch = 64;                              // samples a step over all tasks and workers
  std::vector<MixturePhase> phases = {MixturePhase{}};  // steps ascending, the first is 1
};

struct TaskQuota {
  double requested = 0;      // share of the batch before rounding
  std::int64_t samples = 0;  // a step
};

// Samples of each task's train split; 0 without one.
std::vector<std::uint64_t> train_samples(const Manifest& manifest, const std::vector<std::string>& tasks);

// Quotas by largest remainder: at least 1 a task, 0 for those that take no part; the sum is `batch`. Throws
// Error(config) when the batch is smaller than the number of tasks that take part, a rate is missing, all are 0, or the
// kind is unknown, and Error(data) naming a task without samples.
std::vector<TaskQuota> quotas(const Mixture& mixture, std::int64_t batch, const std::vector<std::string>& tasks,
                              const std::vector<std::uint64_t>& samples);

// The quotas of each phase, [phases][tasks]. Throws as quotas(), and Error(config) when a task takes part in no phase.
std::vector<std::vector<TaskQuota>> phase_quotas(const MixtureOptions& options, const std::vector<std::string>& tasks,
                                                 const std::vector<std::uint64_t>& samples);

// From `step` on a task takes `quota` samples a step, the first at stream position `first`. The only sampling state.
struct MixtureEntry {
  std::int64_t step = 1;
  std::vector<std::int64_t> quota;   // [tasks]
  std::vector<std::uint64_t> first;  // [tasks]
  bool operator==(const MixtureEntry&) const = default;
};

// A run's entries from its phases: each task's stream goes on where it stopped.
std::vector<MixtureEntry> entries_of(const MixtureOptions& options, const std::vector<std::vector<TaskQuota>>& quotas);

// The entries of the same run when tasks leave it: from `step` on those of `left` take nothing, and the others share
// the batch by the rates of the step's phase and of the later ones; all alike in a phase whose tasks have all left.
// Some task stays.
std::vector<MixtureEntry> without(const std::vector<MixtureEntry>& entries, const std::vector<bool>& left,
                                  std::int64_t step, const MixtureOptions& options,
                                  const std::vector<std::string>& tasks, const std::vector<std::uint64_t>& samples);

// The stream positions of a task at a step: [first, first + count).
struct PositionRange {
  std::uint64_t first = 0;
  std::int64_t count = 0;
};
PositionRange positions(const std::vector<MixtureEntry>& entries, std::size_t task, std::int64_t step);

// Samples that each task has taken when `step` is done, in epochs: [tasks].
std::vector<double> epochs(const std::vector<MixtureEntry>& entries, const std::vector<std::uint64_t>& samples,
                           std::int64_t step);

// Lines for people: for each phase its tasks' quotas, requested and realised shares, with a warning where they differ
// by more than 10 %; then each task's epochs when `steps` are done.
std::string describe(const MixtureOptions& options, const std::vector<std::vector<TaskQuota>>& quotas,
                     const std::vector<std::string>& tasks, const std::vector<std::uint64_t>& samples,
                     std::int64_t steps);

}  // namespace polyhead
