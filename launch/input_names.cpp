// Applies import's table of common names to each line.
#include "launch/input_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "datasets/target.h"

namespace polyhead {
namespace {

bool reads_words(Kind kind) {
  return target_of(kind).input_form() == InputForm::words;
}

// Returns the keys of a line that may hold `part`, which has no key of its own name.
std::vector<NameCandidate> candidates(Kind kind, std::string_view part, const std::vector<std::string>& names) {
  SampleFile file;
  file.kind = kind;
  std::vector<NameCandidate> all = usual_candidates(file, part, names);
  if (reads_words(kind)) std::erase_if(all, [](const NameCandidate& one) { return !one.second.empty(); });
  if (all.empty() && target_of(kind).language(file, part))  // {"translation": {"en": "…"}}
    for (const std::string& name : names)
      if (name.starts_with("translation.")) all.push_back({name, ""});
  return all;
}

}  // namespace

InputNames::InputNames(Kind kind, bool vectors, bool pairs, std::map<std::string, std::string> given)
    : kind_(kind), vectors_(vectors), pairs_(pairs), given_(std::move(given)) {}

std::vector<std::string_view> InputNames::parts(Kind kind, bool vectors, bool pairs) {
  if (vectors) return {"features"};
  if (reads_words(kind)) return {"words", "text"};
  if (target_of(kind).input_form() == InputForm::context) return {"question", "text"};
  return pairs ? std::vector<std::string_view>{"text", "second"} : std::vector<std::string_view>{"text"};
}

InputNames::Keys InputNames::keys(const JsonLine& line, const std::function<void(const std::string&)>& fail) const {
  Keys keys;
  for (const std::string_view part : part_names()) keys.names[part] = part;
  for (const std::string_view part : parts(kind_, vectors_, pairs_))
    if (const auto given = given_.find(std::string(part)); given != given_.end()) {
      keys.names[part] = given->second;
      if (part != "second" && !line.value(given->second))
        fail(fmt::format("has no key \"{}\", which --columns {}:{} names; the keys are {}", given->second, given->first,
                         given->second, fmt::join(line.names(), ", ")));
    }
  const auto there = [&](std::string_view part) { return given_.contains(std::string(part)) || line.has(part); };
  if (vectors_ || there("text") || (reads_words(kind_) && there("words"))) return keys;
  const std::vector<std::string> names = line.names();
  std::string_view part = reads_words(kind_) ? "words" : "text";
  std::vector<NameCandidate> fits = candidates(kind_, part, names);
  if (fits.empty() && part == "words") {
    part = "text";
    fits = candidates(kind_, part, names);
  }
  const std::string_view wanted = reads_words(kind_) ? "words" : "text";
  if (fits.empty())
    fail(fmt::format(
        "no key holds the input: the keys are {}; expected {}{}, or a common name ({}); or say which key it "
        "is with --columns {}:KEY",
        names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
        wanted == "words" ? "\"words\" or \"text\"" : "\"text\"",
        pairs_ ? " and \"second\", as the task reads pairs" : "", usual_names_of(wanted, kind_), wanted));
  if (fits.size() > 1)
    fail(fmt::format("{} fit \"{}\"; say which one it is, for example with --columns {}:{}{}", in_words(fits), part,
                     part, fits[0].name, fits[0].second.empty() ? "" : ",second:" + fits[0].second));
  keys.names[part] = fits[0].name;
  keys.found = fmt::format("{}:{}", part, fits[0].name);
  if (fits[0].second.empty() || given_.contains("second")) return keys;
  keys.names["second"] = fits[0].second;
  keys.found += fmt::format(",second:{}", fits[0].second);
  return keys;
}

}  // namespace polyhead
