// Inputs of valid and test that train holds too: a model is scored on what it has learned by heart.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

// Compares 64-bit hashes of whole inputs: text and second text, or vectors. Takes 8 bytes for a sample of train.
class Overlap {
 public:
  void add(std::string_view split, const Sample& sample, const Place& place);
  // One text for each split that holds inputs of train.
  std::vector<std::string> warnings(const std::string& task);

 private:
  struct Other {
    std::uint64_t hash = 0;
    Place place;
  };
  std::vector<std::uint64_t> train_;
  std::map<std::string, std::vector<Other>, std::less<>> others_;
};

}  // namespace polyhead
