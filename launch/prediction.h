// Predicts lines of JSON: it reads an input as import would, and adds the predictions of the model.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/model/options.h"
#include "datasets/model_input.h"
#include "distributed/checkpoint/trained.h"
#include "launch/foreign_input.h"
#include "launch/input_names.h"
#include "launch/json_line.h"

namespace polyhead {

// A line that is ready for the model.
struct PredictionLine {
  JsonLine json;
  ModelInput input;
  std::string text;            // text of the tokens
  std::size_t words = 0;       // tagging: number of words or vectors in the line; the last ones may be truncated
  std::string context;         // span: the text that has the answer
  std::size_t max_length = 0;  // length at which the input was truncated, in tokens or vectors
  std::string found;  // keys that were recognised by a common name, such as "text:sentence"; "" if there are none
};

class Predictor {
 public:
  // `trained` must hold the task's head and outlive the predictor. max_length: in tokens or vectors; 0: not known, so
  // vectors are not truncated, and texts are truncated at 128 tokens. columns: part -> key, from names_of_parts().
  Predictor(const TrainedModel& trained, const std::string& task, std::size_t max_length, const SearchOptions& search,
            bool attention, std::map<std::string, std::string> columns);

  InputKind input_kind() const;
  // Throws Error(data), whose message begins with `where`, for a line that import would reject too.
  PredictionLine read(std::string text, const std::string& where) const;
  // Returns each line with its prediction added, without a line end.
  std::vector<std::string> predict(std::span<const PredictionLine> lines) const;

 private:
  Sample sample_of(const JsonLine& json, const InputNames::Keys& keys, const std::string& where) const;
  std::size_t cut(const Sample& sample, const std::string& where) const;
  nlohmann::ordered_json members(const PredictionLine& line, const Predicted& predicted, std::size_t i) const;
  nlohmann::ordered_json attention(const PredictionLine& line, const std::vector<double>& weights,
                                   std::int64_t first_token) const;

  const TrainedModel& trained_;
  std::size_t index_;
  const TrainedTask& task_;
  std::size_t max_length_;
  SearchOptions search_;
  bool attention_;
  InputNames names_;
};

}  // namespace polyhead
