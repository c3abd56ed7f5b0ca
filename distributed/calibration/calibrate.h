// Measures the figures that `polyhead plan` uses, with real training steps of a configuration and with all-reduces.
#pragma once

#include <map>
#include <string>

#include "distributed/communicator/communicator.h"
#include "distributed/planning/plan.h"

namespace polyhead {

struct Calibration {
  Machine machine;                     // figures that cannot be measured keep their defaults
  std::map<std::string, double> cost;  // seconds per sample, by task: for task.NAME.cost
  double step_seconds = 0;             // of a single worker, on `samples` samples of the configuration's mixture
  std::int64_t samples = 0;
  int nodes = 1;
};

// Runs the measurements. Collective; all workers get the same result. Throws as training does.
// - All workers train on their own at the same time, on mixture.batch / workers samples per step, in a temporary
//   folder. They also train each task alone at two batch sizes, to get its seconds per sample and the seconds of a step
//   without samples.
// - Then rank 0 trains while the others wait, and all workers measure all-reduces.
Calibration calibrate(const TrainOptions& options, const Manifest& manifest, Communicator& world);

}  // namespace polyhead
