// Means, deviations and class weights of train; checks of the other splits against it.
#include "distributed/description/statistics.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/progress.h"

namespace polyhead {
namespace {

void standardise(const TrainedTask& task, const SplitReader& train, TrainStatistics& out) {
  const std::size_t outputs = std::max<std::size_t>(1, task.outputs.size());
  const auto samples = static_cast<double>(train.size());
  std::vector<double> values;
  const auto each = [&](const auto& use) {
    for (std::uint64_t sample = 0; sample < train.size(); ++sample) {
      note_progress();
      values.clear();
      train.sample(sample).values(values);
      for (std::size_t k = 0; k < outputs; ++k) use(k, values[k]);
    }
  };
  out.mean.assign(outputs, 0);
  out.deviation.assign(outputs, 0);
  each([&](std::size_t k, double value) { out.mean[k] += value; });
  for (double& mean : out.mean) mean /= samples;
  each([&](std::size_t k, double value) { out.deviation[k] += (value - out.mean[k]) * (value - out.mean[k]); });
  for (double& deviation : out.deviation) deviation = deviation > 0 ? std::sqrt(deviation / samples) : 1;
}

void balance(const TrainedTask& task, const SplitReader& train, TrainStatistics& out) {
  std::vector<double> counts(task.labels.size(), 0);
  for (std::uint64_t sample = 0; sample < train.size(); ++sample) {
    note_progress();
    ++counts[static_cast<std::size_t>(train.sample(sample).label())];
  }
  const auto present = static_cast<double>(std::ranges::count_if(counts, [](double count) { return count > 0; }));
  for (const double count : counts)
    out.class_weights.push_back(count > 0 ? static_cast<double>(train.size()) / (present * count) : 1);
}

// The first sample without a second text.
std::optional<std::uint64_t> first_single(const SplitReader& reader) {
  for (std::uint64_t sample = 0; sample < reader.size(); ++sample)
    if (reader.sample(sample).second() == 0) return sample;
  return std::nullopt;
}

}  // namespace

TrainStatistics train_statistics(const TrainedTask& task, const SplitReader& train) {
  TrainStatistics out;
  out.feature_width = static_cast<std::int64_t>(train.feature_width());
  out.pairs = train.pairs();
  out.only_pairs = out.pairs && !first_single(train);
  if (task.kind == Kind::regression) standardise(task, train, out);
  if (task.kind == Kind::classification && task.head.class_weights == ClassWeights::balanced) balance(task, train, out);
  return out;
}

void check_input(const TrainedTask& task, const std::string& split, const SplitReader& reader) {
  const auto name = [](std::uint64_t width) {
    return width == 0 ? std::string("tokens") : fmt::format("vectors of {} numbers", width);
  };
  const auto trained = static_cast<std::uint64_t>(task.statistics.feature_width);
  if (reader.feature_width() != trained)
    throw Error(Exit::data,
                fmt::format("task {}: the input of {} is {}, that of train {}; give every split of the task the same",
                            task.name, split, name(reader.feature_width()), name(trained)));
  if (!task.statistics.pairs && reader.pairs())
    throw Error(Exit::data, fmt::format("task {}: samples of {} have a second text, of train none has; import the task "
                                        "again, with a second text in both or in neither",
                                        task.name, split));
  if (!task.statistics.only_pairs) return;
  if (const auto single = first_single(reader))
    throw Error(Exit::data, fmt::format("task {}: sample {} of {} has no second text, of train every sample has one; "
                                        "give it its second text and import again, or take it out",
                                        task.name, *single, split));
}

}  // namespace polyhead
