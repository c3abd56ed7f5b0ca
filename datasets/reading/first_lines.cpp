// Compares the labels of first lines with those of all other lines.
#include "datasets/reading/first_lines.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace polyhead {

void FirstLines::add(const Place& place, std::span<const std::string> labels) {
  ++samples_;
  if (first_.empty() || first_.back().place.file != place.file)
    first_.push_back({place, {labels.begin(), labels.end()}});
  else
    others_.insert(labels.begin(), labels.end());
}

void FirstLines::check() const {
  constexpr std::uint64_t kEnough = 8;  // samples
  if (samples_ < kEnough || others_.size() * 2 > samples_) return;
  for (const Line& line : first_)
    if (!line.labels.empty() && std::none_of(line.labels.begin(), line.labels.end(),
                                             [&](const std::string& label) { return others_.contains(label); }))
      SampleFile::fail(line.place,
                       fmt::format("has the label '{}', which no other line has, so it may hold the columns' names; "
                                   "write 'header = yes' in the task's section to leave it out, or 'header = no' to "
                                   "take it as a sample",
                                   fmt::join(line.labels, "', '")));
}

}  // namespace polyhead
