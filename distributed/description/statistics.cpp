// Computes the statistics of train, and checks the other splits against them.
#include "distributed/description/statistics.h"

#include <optional>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/progress.h"
#include "core/base/text.h"
#include "core/kinds/registry.h"

namespace polyhead {
namespace {

// Returns the first sample without a second text.
std::optional<std::uint64_t> first_single(const SplitReader& reader) {
  for (std::uint64_t sample = 0; sample < reader.size(); ++sample)
    if (reader.sample(sample).second() == 0) return sample;
  return std::nullopt;
}

}  // namespace

TrainSamples samples_of(const SplitReader& train) {
  return {train.size(), [&train](const auto& use) {
            for (std::uint64_t sample = 0; sample < train.size(); ++sample) {
              note_progress();
              use(train.sample(sample));
            }
          }};
}

TrainStatistics train_statistics(const TrainedTask& task, const SplitReader& train) {
  TrainStatistics out;
  out.feature_width = static_cast<std::int64_t>(train.feature_width());
  out.pairs = train.pairs();
  out.only_pairs = out.pairs && !first_single(train);
  task_kind(task.kind).add_statistics(task.view(), task.head, samples_of(train), out);
  return out;
}

void check_input(const TrainedTask& task, const std::string& split, const SplitReader& reader) {
  const auto trained = static_cast<std::uint64_t>(task.statistics.feature_width);
  if (reader.feature_width() != trained)
    throw Error(
        Exit::data,
        fmt::format(
            "task {}: the input of {} is {}, but that of train is {}; give every split of the task the same input",
            task.name, split, describe_input(reader.feature_width()), describe_input(trained)));
  if (!task.statistics.pairs && reader.pairs())
    throw Error(Exit::data,
                fmt::format("task {}: samples of {} have a second text, but none of train has one; import the task "
                            "again, with a second text in both or in neither",
                            task.name, split));
  if (!task.statistics.only_pairs) return;
  if (const auto single = first_single(reader))
    throw Error(Exit::data, fmt::format("task {}: sample {} of {} has no second text, but every sample of train has "
                                        "one; add its second text and import again, or remove the sample",
                                        task.name, *single, split));
}

}  // namespace polyhead
