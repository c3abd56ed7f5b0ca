// F1 of the entities that BIO, IOB1 and IOBES tags mark, counted as in seqeval's default mode and conlleval.
#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

#include "core/metrics/scores.h"

namespace polyhead {
namespace {

// Whether the tag is one of `letters`, alone or as in "B-TYPE".
bool is_tag(std::string_view label, std::string_view letters) {
  return !label.empty() && letters.find(label[0]) != std::string_view::npos &&
         (label.size() == 1 || (label[1] == '-' && label.size() > 2));
}

using Entity = std::tuple<std::string_view, std::size_t, std::size_t>;  // type, first word, word after the last

std::set<Entity> entities(std::span<const std::int64_t> tags, const std::vector<std::string>& labels) {
  std::set<Entity> found;
  std::string_view type;
  std::size_t first = 0;
  bool inside = false;
  char before = 'O';  // letter of the previous word
  for (std::size_t word = 0; word <= tags.size(); ++word) {
    const std::string_view tag =
        word < tags.size() && tags[word] >= 0 ? std::string_view(labels[static_cast<std::size_t>(tags[word])]) : "O";
    const std::string_view here = tag.substr(1);
    const char letter = tag.front();
    const bool continues =
        inside && (letter == 'I' || letter == 'E') && (before == 'B' || before == 'I') && here == type;
    before = letter;
    if (continues) continue;
    if (inside) found.emplace(type, first, word);
    inside = tag != "O";
    type = here;
    first = word;
  }
  return found;
}

}  // namespace

bool is_bio(const std::vector<std::string>& labels) {
  const auto marks = [](const std::string& label) { return is_tag(label, "B") || (label != "O" && label.size() > 1); };
  return std::ranges::all_of(labels, [](const std::string& label) { return label == "O" || is_tag(label, "BIES"); }) &&
         std::ranges::any_of(labels, marks);
}

void add_entities(std::span<double> sums, std::span<const std::int64_t> gold, std::span<const std::int64_t> predicted,
                  const std::vector<std::string>& labels) {
  const std::set<Entity> expected = entities(gold, labels), found = entities(predicted, labels);
  sums[0] +=
      static_cast<double>(std::ranges::count_if(found, [&](const Entity& one) { return expected.contains(one); }));
  sums[1] += static_cast<double>(expected.size());
  sums[2] += static_cast<double>(found.size());
}

double entity_f1(std::span<const double> sums) {
  const double either = sums[1] + sums[2];
  return either == 0 ? 0 : 2 * sums[0] / either;
}

}  // namespace polyhead
