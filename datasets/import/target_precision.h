// Finds regression targets that 32-bit floats cannot distinguish or represent exactly.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/reading/sample_source.h"

namespace polyhead {

class TargetPrecision {
 public:
  void add(const Sample& sample, const Place& place);
  // Returns a text if whole numbers change, or if the rounding error is larger than a thousandth of the targets'
  // standard deviation.
  std::vector<std::string> warnings(const std::string& task) const;

 private:
  struct Output {
    double mean = 0, squares = 0, error = 0;  // error: the largest rounding error
  };
  std::vector<Output> outputs_;
  std::uint64_t samples_ = 0, changed_ = 0;  // changed_: samples with a whole number that changes
  double worst_ = 0;                         // largest rounding error, with its value and place
  double worst_value_ = 0;
  std::string worst_place_;
};

}  // namespace polyhead
