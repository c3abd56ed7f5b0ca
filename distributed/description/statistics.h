// Statistics of a task's train split, which are computed before the first step.
#pragma once

#include "core/heads/head.h"
#include "datasets/dataset.h"
#include "distributed/description/description.h"

namespace polyhead {

// Returns the samples of a train split for the functions of a kind. `train` must outlive them.
TrainSamples samples_of(const SplitReader& train);

// Reads the whole train split if the task's kind, options or input require it. Returns the statistics of its kind
// (TaskKind::add_statistics), and whether any sample, and whether every sample, has a second text.
TrainStatistics train_statistics(const TrainedTask& task, const SplitReader& train);

// Throws Error(data) if the split's input has another kind or width than that of train, if it has second texts and no
// sample of train has one, or if a sample has none and all samples of train have one.
void check_input(const TrainedTask& task, const std::string& split, const SplitReader& reader);

}  // namespace polyhead
