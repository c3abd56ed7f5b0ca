// What the program reads from a task's train split before the first step.
#pragma once

#include "core/heads/head.h"
#include "datasets/dataset.h"
#include "distributed/description/description.h"

namespace polyhead {

// Reads the whole train split where the task's kind, options or input ask for it. Means and deviations (population, in
// double, summed in the order of the samples; 1 for a value that is constant) of regression; class weights n / (C n_c)
// of balanced classification, over the C classes that occur, 1 for others. `pairs` and
// `only_pairs`: whether any sample, and whether every sample, has a second text.
TrainStatistics train_statistics(const TrainedTask& task, const SplitReader& train);

// Throws Error(data) when the split's input is of another kind or width than train's, has second texts where no sample
// of train has one, or lacks one where all have.
void check_input(const TrainedTask& task, const std::string& split, const SplitReader& reader);

}  // namespace polyhead
