// Converts the tags in one pass over a sentence.
#include "datasets/kinds/tag_schemes.h"

#include <algorithm>
#include <string_view>

namespace polyhead {
namespace {

bool of_a_scheme(std::string_view tag) {
  return tag == "O" ||
         (tag.size() > 2 && tag[1] == '-' && std::string_view("BIESLUM").find(tag[0]) != std::string_view::npos);
}

}  // namespace

std::size_t to_bio(std::vector<std::string>& tags) {
  if (!std::all_of(tags.begin(), tags.end(), of_a_scheme)) return 0;
  std::size_t changed = 0;
  std::string open;  // type of the entity that the next word may continue
  for (std::string& tag : tags) {
    if (tag == "O") {
      open.clear();
      continue;
    }
    const char prefix = tag[0];
    const std::string type = tag.substr(2);
    const bool begins = prefix == 'B' || prefix == 'S' || prefix == 'U' || open != type;
    const char now = begins ? 'B' : 'I';
    changed += now != prefix ? 1 : 0;
    tag[0] = now;
    const bool ends = prefix == 'S' || prefix == 'U' || prefix == 'E' || prefix == 'L';
    open = ends ? "" : type;
  }
  return changed;
}

}  // namespace polyhead
