// Converts a hash to a number between 0 and 1.
#include "datasets/reading/shares.h"

#include <cmath>

#include "core/base/hash.h"

namespace polyhead {

std::string_view split_by_share(const ReadingOptions& options, const Sample& sample) {
  const std::uint64_t hash = !options.group.empty() ? hash_bytes(sample.group)
                             : sample.width > 0
                                 ? hash_bytes(sample.features.data(), sample.features.size() * sizeof(float))
                                 : hash_bytes(sample.text);
  const double place = std::ldexp(static_cast<double>(hash >> 11), -53);
  if (place < options.valid_share) return "valid";
  return place >= 1 - options.test_share ? "test" : "train";
}

}  // namespace polyhead
