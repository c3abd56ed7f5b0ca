// Statistics of a task's train split, which are computed before the first step.
#pragma once

#include "core/heads/head.h"
#include "datasets/dataset.h"
#include "distributed/description/description.h"

namespace polyhead {

// Reads the whole train split if the task's kind, options or input require it. Returns
// - for regression, means and population deviations (in double, summed in the order of the samples; the deviation of a
//   constant value is 1);
// - for classification with balanced weights, the class weights n / (C n_c), where C is the number of classes that
// occur;
//   1 for the other classes;
// - `pairs` and `only_pairs`: whether any sample, and whether every sample, has a second text.
TrainStatistics train_statistics(const TrainedTask& task, const SplitReader& train);

// Throws Error(data) if the split's input has another kind or width than that of train, if it has second texts and no
// sample of train has one, or if a sample has none and all samples of train have one.
void check_input(const TrainedTask& task, const std::string& split, const SplitReader& reader);

}  // namespace polyhead
