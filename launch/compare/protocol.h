// The protocols of a comparison: what its runs train until, and which of their checkpoints is tested.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "distributed/options.h"
#include "launch/options.h"

namespace polyhead {

enum class Until {
  steps,  // every run makes run.steps steps, in which a task takes the same samples alone and with others
  best,   // every run stops early on valid, and each task is tested at the checkpoint that is best for it
};
constexpr std::array<std::string_view, 2> choices(Until) {
  return {"steps", "best"};
}

// Fills in what the protocol needs and the user did not give. For `best`:
// - run.eval_every: a twentieth of run.steps;
// - run.best: each, the best checkpoint of each task by its task.NAME.metric;
// - run.patience: 5 evaluations, unless run.task_patience or that of a task is given.
void apply_protocol(Config& config, Until until);
// Returns a sentence about what apply_protocol() has filled in, for the user; "" if the protocol needs nothing.
std::string describe_protocol(const Config& config, Until until);

// Returns run.best for a run of some of the tasks, after apply_protocol(): the values that name one of them, and mean;
// each if there are none.
std::string best_of_run(const Config& config, const std::vector<std::string>& tasks);

// Returns the checkpoint of a run on which a task is tested: the one that is best by the first value of run.best that
// names the task, or by the first of all values if none does. values: of run.best, as best_values() returns them for
// all tasks that the run trains.
std::string tested_checkpoint(const std::vector<std::string>& values, const std::string& task, Until until);

// Throws Error(config) for options with which a task would not take the same samples alone and with others: phases and
// early stopping.
void check_equal_samples(const Config& config, const TrainOptions& options);

// Returns one line for each option that decides how long a run trains, and that differs from the run's earlier start:
// "run.steps: 12 there, 24 here".
std::vector<std::string> other_decisions(const Config& before, const Config& now,
                                         const std::vector<std::string>& tasks);

}  // namespace polyhead
