// The error contains a command that starts a new run from the last good checkpoint.
#include "distributed/step/divergence.h"

#include <fmt/format.h>

#include <cmath>

#include "core/base/error.h"
#include "core/base/shell.h"

namespace polyhead {
namespace {

std::string advice(const TrainOptions& options, bool has_checkpoint) {
  const std::string lr = fmt::format("--optimizer.lr {:g}", options.optimizer.lr / 10);
  if (!has_checkpoint) return "Train in a new run folder with a lower learning rate, for example " + lr;
  const std::string run = options.run_dir.string();
  return fmt::format(
      "Start a new run from the last checkpoint with a lower learning rate: polyhead train --init-from {} --run-dir "
      "{} {}",
      shell_quoted(run), shell_quoted(run + "-lower-lr"), lr);
}

}  // namespace

void end_diverged(const TrainOptions& options, std::int64_t step, const StepRecord& record, const Gradients& gradients,
                  bool has_checkpoint) {
  std::string tasks;
  for (std::size_t i = 0; i < options.tasks.size(); ++i)
    if (!std::isfinite(record.loss[i])) tasks += (tasks.empty() ? "" : ", ") + options.tasks[i];
  throw Error(Exit::diverged,
              fmt::format("step {}: {} steps in a row had a loss or gradient that is not finite{}{}; none of them "
                          "changed the model. {}",
                          step, kPatience, gradients.limit(), tasks.empty() ? "" : " (tasks " + tasks + ")",
                          advice(options, has_checkpoint)));
}

}  // namespace polyhead
