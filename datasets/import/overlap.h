// Finds inputs of valid and test that are in train too, because scores on them would only measure memorisation.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/reading/sample_source.h"

namespace polyhead {

// Compares 64-bit hashes of whole inputs (text and second text, or vectors). It needs 8 bytes per train sample.
class Overlap {
 public:
  void add(std::string_view split, const Sample& sample, const Place& place);
  // Returns one text for each split that has inputs of train.
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
