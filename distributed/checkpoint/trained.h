// A trained run, loaded to evaluate or predict with.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "datasets/tokenizer/tokenizer.h"
#include "distributed/description/description.h"
#include "distributed/options.h"

namespace polyhead {

struct TrainedModel {
  ModelDescription description;
  std::int64_t step = 0;
  std::unique_ptr<Model> model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::string> warnings;  // damaged checkpoints that were skipped
};

// Loads a checkpoint of a run with the heads of `tasks` (names; empty: all) on a device ("cpu", or "cuda": the device
// with the number local_rank). Throws Error(config) if the folder has no such checkpoint, the checkpoint has no
// averages and they are requested, or the run has no such task. Throws Error(data) if the checkpoint is damaged
// ("latest": if all are).
TrainedModel load_trained(const std::filesystem::path& run_dir, const Weights& weights,
                          const std::vector<std::string>& tasks, const std::string& device, int threads,
                          int local_rank = 0);

}  // namespace polyhead
