// A task's description to the files that are read for each split.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "datasets/import.h"
#include "datasets/manifest.h"
#include "datasets/samples.h"

namespace polyhead {

inline constexpr std::array<const char*, 3> kSplits = {"train", "valid", "test"};

inline bool is_table(Format format) {
  return format == Format::tsv || format == Format::csv;
}

// Throws Error(data) for a description that cannot be meant; `before` is the task in the data set that is added to, or
// null.
void check_description(const ImportTask& task, const TaskInfo* before);

// The files of train, valid and test, of each split the first with the others in `rest`; shares of train at the end.
// Throws Error(data), also for an option that has no effect on the files' format.
std::vector<SampleFile> sample_files(const ImportTask& task, const std::shared_ptr<InputFiles>& inputs);

}  // namespace polyhead
