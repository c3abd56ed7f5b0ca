// Compares options with each other and with the data set.
#include "launch/notes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>

namespace polyhead {

std::vector<std::string> notes_of_options(const Config& config, const TrainOptions& options, const Manifest& manifest) {
  std::vector<std::string> notes;
  if (const std::int64_t warmup = options.optimizer.warmup; warmup > 0 && warmup >= options.steps)
    notes.push_back(
        fmt::format("warning: {} is not less than {}: the learning rate only rises, up to {:.3g} % of "
                    "optimizer.lr in the last step; a warm-up of a tenth of the steps is usual",
                    config.quote("optimizer.warmup"), config.quote("run.steps"),
                    100 * static_cast<double>(options.steps) / static_cast<double>(warmup)));
  std::vector<std::string> without;
  for (const std::string& name : options.tasks) {
    const auto& splits = manifest.task(name).splits;
    if (const auto valid = splits.find("valid"); valid == splits.end() || valid->second.samples == 0)
      without.push_back(name);
  }
  if (options.eval_every > 0 && !without.empty())
    notes.push_back(
        fmt::format("warning: {} does not evaluate {}, which {} no valid split; import {} with 'valid = "
                    "FILE', or with 'valid_share = 0.1' to take it from train",
                    config.quote("run.eval_every"), fmt::join(without, ", "), without.size() == 1 ? "has" : "have",
                    without.size() == 1 ? "it" : "them"));
  return notes;
}

}  // namespace polyhead
