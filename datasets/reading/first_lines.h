// Detects first lines of tables that hold column names rather than a sample, by their labels.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "datasets/reading/sample_source.h"

namespace polyhead {

class FirstLines {
 public:
  // Adds the labels of a sample; samples must come in the order of their files.
  void add(const Place& place, std::span<const std::string> labels);
  // Throws Error(data) if the first line of a file has labels that occur nowhere else, while other labels occur many
  // times. Small files are not checked.
  void check() const;

 private:
  struct Line {
    Place place;
    std::vector<std::string> labels;
  };
  std::vector<Line> first_;
  std::set<std::string, std::less<>> others_;
  std::uint64_t samples_ = 0;
};

}  // namespace polyhead
