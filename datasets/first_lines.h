// First lines of tables that hold names of columns rather than a sample, found by their labels.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

class FirstLines {
 public:
  // The labels of a sample; samples come in the order of their files.
  void add(const Place& place, const std::vector<std::string>& labels);
  // Throws Error(data) when a file's first line has labels that occur nowhere else, while other labels come again and
  // again. A small file shows nothing of the kind.
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
