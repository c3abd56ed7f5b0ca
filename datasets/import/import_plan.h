// The first reading of an import: it checks every sample, numbers the labels, and collects texts for the tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "datasets/import/import.h"
#include "datasets/import/target_forms.h"
#include "datasets/import/text_sample.h"
#include "datasets/manifest.h"
#include "datasets/reading/input_files.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {

// The state of a task between the two readings.
struct ImportPlan {
  // Returns the number of a label. Throws Error(data) for an unknown label: the first reading found all of them, so the
  // file has changed.
  std::uint32_t number_of(const std::string& label, const Place& place) const;

  std::vector<SampleFile> files;  // of train, valid, test: the first file of each, with the others in `rest`
  TaskInfo info;                  // without its splits
  bool added_to = false;          // whether the data set already has the task
  std::unordered_map<std::string, std::uint32_t> index;  // label -> number
  std::uint64_t outputs = 1;                             // regression
  std::uint64_t weighted = 0;                            // train samples with a weight
  double weight_sum = 0;                                 // of all train samples; those without a weight have 1
  TargetForms forms;                                     // translation: of the targets in train
  std::vector<std::string> warnings;                     // to report when the samples are written
};

// Reads a task's files. before: the task in the data set to which samples are added, or null. Throws Error(data).
ImportPlan make_plan(const ImportTask& task, const TaskInfo* before, const std::shared_ptr<InputFiles>& inputs,
                     unsigned threads, TextSample& texts, const Progress& progress);

}  // namespace polyhead
