// Regression targets that 32-bit floats cannot tell apart, or hold as they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

class TargetPrecision {
 public:
  void add(const Sample& sample, const Place& place);
  // A text where whole numbers become others, or where rounding is larger than a thousandth of the targets' standard
  // deviation.
  std::vector<std::string> warnings(const std::string& task) const;

 private:
  struct Output {
    double mean = 0, squares = 0, error = 0;  // error: the largest of rounding
  };
  std::vector<Output> outputs_;
  std::uint64_t samples_ = 0, changed_ = 0;  // changed_: with a whole number that becomes another
  double worst_ = 0;                         // largest error of a single value, its value, and where
  double worst_value_ = 0;
  std::string worst_place_;
};

}  // namespace polyhead
