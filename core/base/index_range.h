// A range of indices.
#pragma once

#include <cstdint>

namespace polyhead {

// [begin, end)
struct IndexRange {
  std::int64_t begin = 0, end = 0;

  std::int64_t size() const { return end - begin; }
  bool operator==(const IndexRange&) const = default;
};

}  // namespace polyhead
