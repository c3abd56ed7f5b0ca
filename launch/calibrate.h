// Measures what `polyhead plan` reckons with: real training steps of a configuration, and all-reduces.
#pragma once

#include <map>
#include <string>

#include "distributed/communicator/communicator.h"
#include "distributed/planning/plan.h"

namespace polyhead {

struct Calibration {
  Machine machine;                     // what could not be measured keeps its default
  std::map<std::string, double> cost;  // seconds a sample, by task: for task.NAME.cost
  double step_seconds = 0;             // of a worker alone, on `samples` samples of the configuration's mixture
  std::int64_t samples = 0;
  int nodes = 1;
};

// All workers of `world` train by themselves at the same time, on mixture.batch / workers samples a step, in a
// temporary folder; each task also alone, at two batch sizes, for its seconds a sample and those of a step without
// samples. Then rank 0 trains while the others wait, and they reduce together. Collective; the same result on all.
// Throws as training does.
Calibration calibrate(const TrainOptions& options, const Manifest& manifest, Communicator& world);

}  // namespace polyhead
