// Samples as a kind reads them from a data set, and what the heads need to know about a train split.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace polyhead {

// The fields of a stored sample. A sample has those of its kind only. Functions with `out` append to it.
class SampleFields {
 public:
  virtual std::uint64_t index() const = 0;  // in its split
  virtual void input_tokens(std::vector<std::int64_t>& out) const = 0;
  virtual void target_tokens(std::vector<std::int64_t>& out) const = 0;  // translation
  virtual void tags(std::vector<std::int64_t>& out) const = 0;           // tagging; kIgnore where not scored
  virtual std::int64_t label() const = 0;                                // classification
  virtual void labels(std::vector<std::int64_t>& out) const = 0;         // multilabel: [classes], 0 or 1
  virtual void values(std::vector<double>& out) const = 0;               // regression: [outputs]
  // Return the original texts, if the data set has them.
  virtual std::optional<std::string> input_text() const = 0;
  virtual std::optional<std::string> target_text() const = 0;
  // span: returns the original text of the tokens [first, last] of the input.
  virtual std::optional<std::string> text_of(std::uint64_t /*first*/, std::uint64_t /*last*/) const {
    return std::nullopt;
  }

 protected:
  ~SampleFields() = default;
};

// The samples of a train split. each() calls its argument for every sample, in order.
struct TrainSamples {
  std::uint64_t size = 0;
  std::function<void(const std::function<void(const SampleFields&)>& use)> each = [](const auto&) {};
};

// Statistics of a task's train split that its head uses.
struct TrainStatistics {
  std::vector<double> mean, deviation;  // regression: [outputs]
  std::vector<double> class_weights;    // classification: [classes]; empty: all 1
  std::int64_t feature_width = 0;       // width of the input's vectors; 0: the input is tokens
  bool pairs = false;                   // some samples have a second text
  bool only_pairs = false;              // all samples have one; false if not known, in runs of earlier versions
};

}  // namespace polyhead
