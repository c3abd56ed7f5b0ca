// The description of a trained model, without its weights: enough to build it again, to prepare its inputs and to name
// its labels.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "core/kinds/scorer.h"
#include "core/model/options.h"
#include "datasets/manifest.h"
#include "datasets/sampling/packing.h"

namespace polyhead {

struct TrainedTask {
  std::string name;
  Kind kind = Kind::classification;
  std::vector<std::string> labels;
  std::vector<std::string> outputs;  // regression with more than one
  HeadOptions head;
  MaskingOptions masking;
  TrainStatistics statistics;
  std::string label_type = {};  // the same as in the data set's manifest

  TaskView view() const { return {labels, outputs, head.head}; }
};

struct ModelDescription {
  EncoderOptions encoder;
  AttentionOptions attention;
  TokenizerInfo tokenizer;
  std::vector<TrainedTask> tasks;  // slot t + 1 of task attention is task t
  std::string dtype = "float32";
  std::string data;              // folder of the data set it was trained on
  std::uint64_t max_length = 0;  // tokens at which import truncated its texts; 0: not known

  // Returns the index of a task. If there is none of this name, throws Error(config), which lists the tasks.
  std::size_t task(const std::string& name) const;
};

// Converts to JSON and back. Throws Error(data), which names `origin` and the field.
std::string to_json(const ModelDescription& description);
ModelDescription description_from_json(const std::string& json, const std::string& origin);

std::string to_json(const TrainStatistics& statistics);
TrainStatistics statistics_from_json(const std::string& json);

// Returns the model with the heads of these tasks. Its parameters are not allocated yet.
std::unique_ptr<Model> build_model(const ModelDescription& description, const std::vector<std::size_t>& tasks);

// "float32" or "float64". Throws Error(config) for other names.
torch::ScalarType scalar_type(const std::string& dtype);

}  // namespace polyhead
