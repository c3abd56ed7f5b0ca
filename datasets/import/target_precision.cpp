// Computes running mean and deviation (Welford, 1962), and the rounding errors.
#include "datasets/import/target_precision.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace polyhead {

void TargetPrecision::add(const Sample& sample, const Place& place) {
  if (sample.exact.empty()) return;
  outputs_.resize(std::max(outputs_.size(), sample.exact.size()));
  ++samples_;
  bool changed = false;
  for (std::size_t k = 0; k < sample.exact.size(); ++k) {
    const double value = sample.exact[k], error = std::abs(value - static_cast<double>(static_cast<float>(value)));
    Output& output = outputs_[k];
    const double before = value - output.mean;
    output.mean += before / static_cast<double>(samples_);
    output.squares += before * (value - output.mean);
    output.error = std::max(output.error, error);
    changed = changed || (error > 0 && value == std::floor(value));
    if (error > worst_) {
      worst_ = error;
      worst_value_ = value;
      worst_place_ = fmt::format("{} line {}", place.file->file.filename().string(), place.line);
    }
  }
  changed_ += changed;
}

std::vector<std::string> TargetPrecision::warnings(const std::string& task) const {
  constexpr double kShare = 1e-3;
  const bool coarse = std::ranges::any_of(outputs_, [&](const Output& output) {
    const double deviation = std::sqrt(output.squares / static_cast<double>(samples_));
    return deviation > 0 && output.error > kShare * deviation;
  });
  if (!coarse && changed_ == 0) return {};
  return {fmt::format(
      "task '{}': targets lose precision, as they are kept as 32-bit floats of about 7 digits: {} becomes {} ({}){}; "
      "subtract a constant from all targets, or use another unit",
      task, worst_value_, static_cast<double>(static_cast<float>(worst_value_)), worst_place_,
      changed_ > 0 ? fmt::format(", and {} of {} samples have a whole number that becomes another", changed_, samples_)
                   : std::string())};
}

}  // namespace polyhead
