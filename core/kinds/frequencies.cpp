// Counts values over a train split.
#include "core/kinds/frequencies.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/batch.h"

namespace polyhead {

std::vector<double> count_values(std::size_t size, const TrainSamples& train, const ValuesOf& values_of) {
  std::vector<double> count(size, 0);
  std::vector<std::int64_t> values;
  train.each([&](const SampleFields& sample) {
    values.clear();
    values_of(sample, values);
    for (const std::int64_t value : values)
      if (value != kIgnore) ++count[static_cast<std::size_t>(value)];
  });
  return count;
}

std::vector<double> majority_class(std::size_t classes, const TrainSamples& train, const ValuesOf& classes_of) {
  const std::vector<double> count = count_values(classes, train, classes_of);
  return {static_cast<double>(std::ranges::max_element(count) - count.begin())};
}

std::vector<double> unigram(std::int64_t vocabulary, const TrainSamples& train, const ValuesOf& tokens_of) {
  std::vector<double> count = count_values(static_cast<std::size_t>(vocabulary), train, tokens_of);
  const double total = std::accumulate(count.begin(), count.end(), static_cast<double>(count.size()));
  for (double& value : count) value = std::log((value + 1) / total);
  return count;
}

}  // namespace polyhead
