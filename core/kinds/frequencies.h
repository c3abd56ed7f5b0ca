// Baselines that follow from how often each class or token occurs in a train split.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/kinds/samples.h"

namespace polyhead {

// Appends the values of a sample.
using ValuesOf = std::function<void(const SampleFields& sample, std::vector<std::int64_t>& out)>;

// Returns the number of occurrences of each value below `size`; kIgnore is not counted.
std::vector<double> count_values(std::size_t size, const TrainSamples& train, const ValuesOf& values_of);

// Returns the most frequent value, as the only element.
std::vector<double> majority_class(std::size_t classes, const TrainSamples& train, const ValuesOf& classes_of);

// Returns the log-probability of each token, [vocabulary], add-one smoothed.
std::vector<double> unigram(std::int64_t vocabulary, const TrainSamples& train, const ValuesOf& tokens_of);

}  // namespace polyhead
