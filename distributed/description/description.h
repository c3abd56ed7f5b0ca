// What a trained model is, apart from its numbers: enough to build it again, to read text for it and to name its
// labels.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/heads/model.h"
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
  std::string label_type = {};  // as the data set's manifest has it
};

struct ModelDescription {
  EncoderOptions encoder;
  AttentionOptions attention;
  TokenizerInfo tokenizer;
  std::vector<TrainedTask> tasks;  // slot t + 1 of task attention is task t
  std::string dtype = "float32";
  std::string data;              // folder of the data set it was trained on
  std::uint64_t max_length = 0;  // tokens, at which its texts were cut; 0: not known

  // Index of a task; throws Error(config) naming the tasks there are.
  int task(const std::string& name) const;
};

// JSON, and back; throws Error(data) naming `origin` and the field.
std::string to_json(const ModelDescription& description);
ModelDescription description_from_json(const std::string& json, const std::string& origin);

std::string to_json(const TrainStatistics& statistics);
TrainStatistics statistics_from_json(const std::string& json);

// The model with the heads of these tasks, its parameters not made yet.
std::unique_ptr<Model> build_model(const ModelDescription& description, const std::vector<int>& tasks);

// float32 or float64; throws Error(config).
torch::ScalarType scalar_type(const std::string& dtype);

}  // namespace polyhead
