// Import's first reading: every sample is checked, labels are numbered, texts for the tokenizer are collected.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "datasets/import.h"
#include "datasets/manifest.h"
#include "datasets/samples.h"
#include "datasets/text_sample.h"

namespace polyhead {

// A task between the two readings.
struct ImportPlan {
  std::vector<SampleFile> files;                         // train, valid, test
  TaskInfo info;                                         // without its splits
  bool added_to = false;                                 // the data set has the task already
  std::unordered_map<std::string, std::uint32_t> index;  // label -> number
  std::uint64_t outputs = 1;                             // regression
};

// "1,234,567"
std::string grouped(std::uint64_t number);

// Reads a task's files. `before` is the task in the data set that is added to, or null. Throws Error(data).
ImportPlan make_plan(const ImportTask& task, const TaskInfo* before, unsigned threads, TextSample& texts,
                     const Progress& progress);

}  // namespace polyhead
