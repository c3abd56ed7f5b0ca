// The kinds of task that data sets know.
#include <algorithm>
#include <array>
#include <memory>

#include <fmt/format.h>

#include "core/base/error.h"
#include "datasets/target.h"

// A line per kind, in the order in which messages list their parts.
#define POLYHEAD_TARGETS(KIND) \
  KIND(classification)         \
  KIND(multilabel)             \
  KIND(regression)             \
  KIND(translation)            \
  KIND(tagging)                \
  KIND(masked_lm)              \
  KIND(span)

namespace polyhead {

#define POLYHEAD_DECLARE(kind) std::unique_ptr<Target> make_##kind(Kind);
POLYHEAD_TARGETS(POLYHEAD_DECLARE)

namespace {

const std::vector<std::unique_ptr<Target>>& all_targets() {
  static const std::vector<std::unique_ptr<Target>> all = [] {
    std::vector<std::unique_ptr<Target>> made;
#define POLYHEAD_MAKE(kind) made.push_back(make_##kind(Kind::kind));
    POLYHEAD_TARGETS(POLYHEAD_MAKE)
    return made;
  }();
  return all;
}

}  // namespace

const Target& target_of(Kind kind) {
  for (const auto& target : all_targets())
    if (target->kind() == kind) return *target;
  throw Error(Exit::internal, fmt::format("datasets/kinds has no file for {}", name_of(kind)));
}

const std::vector<std::string_view>& part_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all = {"text", "second"};
    for (const auto& target : all_targets())
      for (const PartNames& part : target->parts())
        if (std::ranges::find(all, part.name) == all.end()) all.push_back(part.name);
    all.emplace_back("features");
    all.emplace_back("weight");
    return all;
  }();
  return names;
}

const std::vector<std::string_view>& usual_text_names() {
  static const std::vector<std::string_view> names = {
      "sentence",     "review",   "review_text", "reviewtext", "review_body",  "content", "comment",
      "comment_text", "tweet",    "post",        "document",   "article",      "body",    "message",
      "utterance",    "question", "query",       "headline",   "sentence_text"};
  return names;
}

}  // namespace polyhead
