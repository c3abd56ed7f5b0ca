// Determines the files to read for each split from the description of a task.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "datasets/import/import.h"
#include "datasets/manifest.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {

inline constexpr std::array<const char*, 3> kSplits = {"train", "valid", "test"};

inline bool is_table(Format format) {
  return format == Format::tsv || format == Format::csv;
}

// Throws Error(data) for an invalid description. before: the task in the data set to which samples are added, or null.
void check_description(const ImportTask& task, const TaskInfo* before);

// Returns the files of train, valid and test: for each split the first one, with the others in `rest`; splits that are
// shares of train come last. Throws Error(data), also for an option that has no effect on the format of the files.
std::vector<SampleFile> sample_files(const ImportTask& task, const std::shared_ptr<InputFiles>& inputs);

}  // namespace polyhead
