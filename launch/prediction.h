// Predictions for lines of JSON: reads an input as import would, and adds what the model says of it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/model/options.h"
#include "datasets/model_input.h"
#include "distributed/checkpoint/trained.h"
#include "launch/json_line.h"

namespace polyhead {

// One line, ready for the model.
struct PredictionLine {
  JsonLine json;
  ModelInput input;
  std::string text;       // what the tokens are of
  std::size_t words = 0;  // tagging: words or vectors that the line has, of which the last may be cut off
};

class Predictor {
 public:
  // `trained` holds the task's head and outlives the predictor. max_length: tokens or vectors; 0: not known, then
  // vectors are not cut and texts at 128 tokens.
  Predictor(const TrainedModel& trained, const std::string& task, std::size_t max_length, const SearchOptions& search,
            bool attention);

  // Throws Error(data) that begins with `where` for what import would refuse too.
  PredictionLine read(std::string text, const std::string& where) const;
  // Each line with its prediction added, without an end of line.
  std::vector<std::string> predict(std::span<const PredictionLine> lines) const;

 private:
  Sample sample_of(const JsonLine& json, const std::string& where) const;
  std::size_t cut(const Sample& sample, const std::string& where) const;
  nlohmann::ordered_json members(const PredictionLine& line, const Predicted& predicted, std::size_t i) const;
  nlohmann::ordered_json label(std::int64_t id) const;
  nlohmann::ordered_json tags(const PredictionLine& line, std::span<const std::int64_t> ids) const;
  nlohmann::ordered_json attention(const PredictionLine& line, const std::vector<double>& weights,
                                   std::int64_t first_token) const;

  const TrainedModel& trained_;
  int index_;
  const TrainedTask& task_;
  std::size_t max_length_;
  SearchOptions search_;
  bool attention_;
};

}  // namespace polyhead
