// A range of the characters (Unicode code points) of a text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace polyhead {

struct CharacterRange {
  std::uint32_t begin = 0, end = 0;  // empty if begin >= end
  bool empty() const { return begin >= end; }
};

// Returns the smallest range that covers all ranges that are not empty.
inline CharacterRange covering(std::span<const CharacterRange> ranges) {
  CharacterRange all;
  for (const CharacterRange& one : ranges) {
    if (one.empty()) continue;
    all = all.empty() ? one : CharacterRange{std::min(all.begin, one.begin), std::max(all.end, one.end)};
  }
  return all;
}

}  // namespace polyhead
