// Exact duplicates between splits.
#include "datasets/import/overlap.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/hash.h"

namespace polyhead {

void Overlap::add(std::string_view split, const Sample& sample, const Place& place) {
  std::uint64_t hash = hash_bytes(sample.text);
  if (sample.second) hash = hash_bytes(*sample.second, hash + 1);
  if (sample.width > 0) hash = hash_bytes(sample.features.data(), sample.features.size() * sizeof(float));
  if (split == "train") {
    train_.push_back(hash);
    return;
  }
  auto found = others_.find(split);
  if (found == others_.end()) found = others_.emplace(split, std::vector<Other>()).first;
  found->second.push_back({hash, place});
}

std::vector<std::string> Overlap::warnings(const std::string& task) {
  std::ranges::sort(train_);
  std::vector<std::string> out;
  for (const auto& [split, samples] : others_) {
    std::size_t known = 0;
    const Other* first = nullptr;
    for (const Other& one : samples)
      if (std::ranges::binary_search(train_, one.hash)) {
        if (known++ == 0) first = &one;
      }
    if (known == 0) continue;
    out.push_back(fmt::format(
        "task '{}': {} of the {} inputs of {} are in train too (first: {} line {}), so scores on {} are too high; "
        "remove them from one of the two",
        task, known, samples.size(), split, first->place.file->file.filename().string(), first->place.line, split));
  }
  return out;
}

}  // namespace polyhead
