// Divides the samples of a step among tasks: the rates of a mixture, quotas by largest remainder, and phases that
// change the mixture at given steps. The stream position of a task at a step depends only on the phases.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/field.h"
#include "datasets/manifest.h"

namespace polyhead {

struct Mixture {
  std::string kind = "temperature";
  double temperature = 2;  // rate ~ min(samples, cap)^(1/temperature)
  std::int64_t cap = 0;
  std::map<std::string, double> rates;  // explicit: relative rate of every task; 0: the task takes no part
};

// [mixture]
inline std::vector<Field> fields(Mixture& options) {
  return {
      {.name = "kind",
       .member = NamedMember(&options.kind, {"proportional", "uniform", "temperature", "explicit"}),
       .help = "How the samples of a step are divided among tasks."},
      {.name = "temperature",
       .member = &options.temperature,
       .help = "Temperature: a task's share is proportional to samples^(1/temperature).",
       .range = ">0",
       .needs = "mixture.kind=temperature"},
      {.name = "cap",
       .member = &options.cap,
       .help = "Maximum number of samples that a task counts as when shares are computed. 0 disables it.",
       .range = ">=0",
       .needs = "mixture.kind=temperature or mixture.phases~temperature"},
  };
}

// "temperature 2, cap 10000"
std::string describe(const Mixture& mixture);

struct MixturePhase {
  std::int64_t step = 1;  // the first step with this mixture; steps count from 1
  Mixture mixture;
};

struct MixtureOptions {
  std::int64_t batch = 64;                              // samples per step over all tasks and workers
  std::vector<MixturePhase> phases = {MixturePhase{}};  // with ascending steps, of which the first is 1
};

// [mixture]
inline std::vector<Field> fields(MixtureOptions& options) {
  return {
      {.name = "batch",
       .member = &options.batch,
       .help = "Number of samples per step over all tasks and workers.",
       .range = ">=1"},
  };
}

struct TaskQuota {
  double requested = 0;      // share of the batch before rounding
  std::int64_t samples = 0;  // per step
};

// Returns the number of samples in each task's train split; 0 if there is none.
std::vector<std::uint64_t> train_samples(const Manifest& manifest, const std::vector<std::string>& tasks);

// Returns quotas by largest remainder: at least 1 per task, 0 for tasks that take no part. Their sum is `batch`. Throws
// Error(config) if the batch is smaller than the number of tasks that take part, if a rate is missing, if all rates are
// 0, or if the kind is unknown; throws Error(data), which names the task, for a task without samples.
std::vector<TaskQuota> quotas(const Mixture& mixture, std::int64_t batch, const std::vector<std::string>& tasks,
                              const std::vector<std::uint64_t>& samples);

// Returns the quotas of each phase, [phases][tasks]. Throws as quotas(), and Error(config) if a task takes part in no
// phase.
std::vector<std::vector<TaskQuota>> phase_quotas(const MixtureOptions& options, const std::vector<std::string>& tasks,
                                                 const std::vector<std::uint64_t>& samples);

// From `step` on, each task takes `quota` samples per step, the first one at stream position `first`. Entries are the
// only state of sampling.
struct MixtureEntry {
  std::int64_t step = 1;
  std::vector<std::int64_t> quota;   // [tasks]
  std::vector<std::uint64_t> first;  // [tasks]
  bool operator==(const MixtureEntry&) const = default;
};

// Returns the entries of a run from its phases. Each task's stream continues where the previous phase stopped.
std::vector<MixtureEntry> entries_of(const MixtureOptions& options, const std::vector<std::vector<TaskQuota>>& quotas);

// Returns the entries of the same run when tasks leave it. At least one task must stay.
// - From `step` on, the tasks in `left` take no samples.
// - The others share the batch by the rates of the current and later phases, or equally in a phase in which all of them
//   have a rate of 0.
std::vector<MixtureEntry> without(const std::vector<MixtureEntry>& entries, const std::vector<bool>& left,
                                  std::int64_t step, const MixtureOptions& options,
                                  const std::vector<std::string>& tasks, const std::vector<std::uint64_t>& samples);

// The stream positions of a task at a step: [first, first + count).
struct PositionRange {
  std::uint64_t first = 0;
  std::int64_t count = 0;
};
PositionRange positions(const std::vector<MixtureEntry>& entries, std::size_t task, std::int64_t step);

// Returns the samples that each task has taken after `step`, in epochs: [tasks].
std::vector<double> epochs(const std::vector<MixtureEntry>& entries, const std::vector<std::uint64_t>& samples,
                           std::int64_t step);

// Returns lines for the user: for each phase the tasks' quotas with requested and actual shares, with a warning if
// these differ by more than 10 %; then each task's epochs after `steps`.
std::string describe(const MixtureOptions& options, const std::vector<std::vector<TaskQuota>>& quotas,
                     const std::vector<std::string>& tasks, const std::vector<std::uint64_t>& samples,
                     std::int64_t steps);

}  // namespace polyhead
