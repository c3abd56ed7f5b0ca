// Import's first reading: every sample is checked, labels are numbered, texts for the tokenizer are collected.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "datasets/import.h"
#include "datasets/input_files.h"
#include "datasets/manifest.h"
#include "datasets/samples.h"
#include "datasets/target_forms.h"
#include "datasets/text_sample.h"

namespace polyhead {

// A task between the two readings.
struct ImportPlan {
  // A label's number. The first reading found every label, so another one means that the file has changed: Error(data).
  std::uint32_t number_of(const std::string& label, const Place& place) const;

  std::vector<SampleFile> files;                         // of train, valid, test: the first, with the others in `rest`
  TaskInfo info;                                         // without its splits
  bool added_to = false;                                 // the data set has the task already
  std::unordered_map<std::string, std::uint32_t> index;  // label -> number
  std::uint64_t outputs = 1;                             // regression
  TargetForms forms;                                     // translation: of the train targets
  std::vector<std::string> warnings;                     // to be said when the samples are written
};

// "1,234,567"
std::string grouped(std::uint64_t number);

// Reads a task's files. `before` is the task in the data set that is added to, or null. Throws Error(data).
ImportPlan make_plan(const ImportTask& task, const TaskInfo* before, const std::shared_ptr<InputFiles>& inputs,
                     unsigned threads, TextSample& texts, const Progress& progress);

}  // namespace polyhead
