// Ends a training that has diverged: too many steps in a row whose loss or gradient is not finite.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/options.h"
#include "distributed/step/gradients.h"

namespace polyhead {

// Consecutive steps without a finite loss and gradient after which training ends.
inline constexpr int kPatience = 10;

// `step` is the number of the last one. Throws Error(diverged) that names the tasks whose loss is not finite.
// has_checkpoint: the advice is to start from the run's last one.
[[noreturn]] void end_diverged(const TrainOptions& options, std::int64_t step, const StepRecord& record,
                               const Gradients& gradients, bool has_checkpoint);

}  // namespace polyhead
