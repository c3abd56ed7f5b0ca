// Finds the names of parts, by the tables of common names that the kinds have.
#include "datasets/reading/field_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/utf8.h"
#include "datasets/reading/input_files.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

using Names = std::vector<std::string_view>;

constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kPairs = {{
    {"sentence1", "sentence2"},
    {"premise", "hypothesis"},
    {"question1", "question2"},
    {"question", "sentence"},
    {"question", "passage"},
    {"question", "context"},
    {"text1", "text2"},
    {"text_a", "text_b"},
    {"sentence_a", "sentence_b"},
    {"query", "passage"},
    {"query", "document"},
    {"first", "second"},
}};

// Returns the names of a part that are common elsewhere. Kinds whose inputs are words know texts by the usual names
// too.
const Names& usual_names(Kind kind, std::string_view part) {
  static const Names none;
  const std::vector<PartNames>& parts = target_of(kind).parts();
  const auto found = std::ranges::find(parts, part, &PartNames::name);
  if (found != parts.end()) return found->usual;
  return part == "text" ? usual_text_names() : none;
}

std::string lowered(std::string_view text) {
  std::string out(trim(text));
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// Returns the file's spelling of a name, ignoring case; "" if it does not have it.
std::string spelled(const std::vector<std::string>& names, std::string_view name) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const std::string& n) { return lowered(n) == name; });
  return found == names.end() ? "" : *found;
}

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

using Candidate = NameCandidate;

std::vector<Candidate> single_candidates(const SampleFile& file, std::string_view part,
                                         const std::vector<std::string>& names) {
  std::vector<Candidate> all;
  const auto add = [&](const std::string& name) {
    if (!name.empty() && std::none_of(all.begin(), all.end(), [&](const Candidate& c) { return c.name == name; }))
      all.push_back({name, ""});
  };
  // A language of a translation is a name too: columns en and it, or {"translation": {"en": …, "it": …}}.
  if (const std::string language = target_of(file.kind).language(file, part).value_or(""); !language.empty()) {
    add(spelled(names, lowered(language)));
    add(spelled(names, "translation." + lowered(language)));
    if (!all.empty()) return all;
  }
  add(spelled(names, part));  // with different case
  if (!all.empty()) return all;
  for (const std::string_view name : usual_names(file.kind, part)) add(spelled(names, name));
  return all;
}

std::vector<Candidate> text_candidates(const SampleFile& file, const std::vector<std::string>& names) {
  std::vector<Candidate> all;
  if (target_of(file.kind).second_text() == SecondText::usual)
    for (const auto& [first, second] : kPairs)
      if (const Candidate pair{spelled(names, first), spelled(names, second)};
          !pair.name.empty() && !pair.second.empty())
        all.push_back(pair);
  const std::vector<Candidate> pairs = all;
  for (Candidate& one : single_candidates(file, "text", names))
    if (std::none_of(pairs.begin(), pairs.end(),
                     [&](const Candidate& pair) { return pair.name == one.name || pair.second == one.name; }))
      all.push_back(std::move(one));
  return all;
}

// A key {"translation": {"en": …, "it": …}} does not give the direction of the translation.
void ask_for_languages(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names) {
  std::vector<std::string> languages;
  for (const std::string& name : names)
    if (name.starts_with("translation.")) languages.push_back(name.substr(12));
  if (languages.size() < 2) return;
  file.fail(line, fmt::format("has translations of {}; say which way to translate: add 'source_language = {}' and "
                              "'target_language = {}' to the task's section, or the reverse",
                              fmt::join(languages, ", "), languages[0], languages[1]));
}

[[noreturn]] void ask(const SampleFile& file, std::uint64_t line, std::string_view part,
                      const std::vector<Candidate>& fits) {
  const std::string second = fits[0].second.empty() ? "" : fmt::format(", second:{}", fits[0].second);
  file.fail(line, fmt::format("{} fit '{}'; say which one it is: add for example 'columns = {}:{}{}' to the task's "
                              "section",
                              in_words(fits), part, part, fits[0].name, second));
}

// missing: the parts that no name of the file fits.
[[noreturn]] void fail_missing(const SampleFile& file, std::uint64_t line, const std::vector<std::string_view>& missing,
                               const std::vector<std::string>& names, std::string_view what) {
  std::vector<std::string> quoted, pairs;
  for (const std::string_view part : missing) {
    quoted.push_back(fmt::format("'{}'", part));
    pairs.push_back(fmt::format("{}:{}", part, what == "key" ? "KEY" : "NAME"));
  }
  const std::string columns = fmt::format("'columns = {}'", fmt::join(pairs, ", "));
  const std::string kind(name_of(file.kind));
  if (what == "key")
    file.fail(line,
              fmt::format("lacks the key {}, which a {} task needs; the keys are {}. Add it to the line, or if the "
                          "file uses other names, add {} to the task's section",
                          fmt::join(quoted, " and the key "), kind, list_of(names), columns));
  std::vector<std::string_view> ours;
  const Target& target = target_of(file.kind);
  for (const PartNames& one : target.parts())
    if (one.role != PartNames::Role::optional) ours.push_back(one.name);
  if (target.second_text() == SecondText::usual && names.size() == ours.size() + 1)
    ours.insert(ours.begin() + 1, "second");
  file.fail(line,
            fmt::format("there is no column {}, which a {} task needs; the columns are {}. If the file uses other "
                        "names, add {} to the task's section; if the file's first line is a sample and holds no names, "
                        "list the columns in the order of the file, for example 'columns = {}'",
                        fmt::join(quoted, " and no column "), kind, list_of(names), columns, fmt::join(ours, ", ")));
}

}  // namespace

std::vector<NameCandidate> usual_candidates(const SampleFile& file, std::string_view part,
                                            const std::vector<std::string>& names) {
  return part == "text" ? text_candidates(file, names) : single_candidates(file, part, names);
}

std::string usual_names_of(std::string_view part, Kind kind) {
  const std::string all = fmt::format("{}", fmt::join(usual_names(kind, part), ", "));
  const bool pairs = part == "text" && target_of(kind).second_text() == SecondText::usual;
  return all + (pairs ? ", or a pair such as premise with hypothesis" : "");
}

std::string in_words(const std::vector<NameCandidate>& candidates) {
  std::vector<std::string> names;
  for (const NameCandidate& one : candidates)
    names.push_back(one.second.empty() ? fmt::format("'{}'", one.name)
                                       : fmt::format("'{}' with '{}'", one.name, one.second));
  return fmt::format("{}", fmt::join(names, " and "));
}

std::string list_of(const std::vector<std::string>& names) {
  const std::string all = fmt::format("{}", fmt::join(names, ", "));
  constexpr std::size_t kMost = 200;  // bytes
  if (all.size() <= kMost) return all;
  return fmt::format("{}… ({} in all)", utf8_prefix(all, kMost), names.size());
}

const std::string& FieldNames::of(std::string_view part) const {
  static const std::string none;
  const auto found = theirs_.find(part);
  return found == theirs_.end() ? none : found->second;
}

FieldNames::FieldNames(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names,
                       std::string_view what) {
  const Target& target = target_of(file.kind);
  for (const std::string_view part : part_names()) {
    const auto given = file.fields.find(std::string(part));
    if (given == file.fields.end()) continue;
    if (!has(names, given->second))
      file.fail(line, fmt::format("there is no {} '{}', which 'columns = {}:{}' names; the {}s are {}", what,
                                  given->second, given->first, given->second, what, list_of(names)));
    theirs_[part] = given->second;
  }
  const auto own = [&](std::string_view part) {
    if (of(part).empty() && has(names, part)) theirs_[part] = part;
  };
  own("features");
  for (const PartNames& part : target.parts()) {
    own(part.name);
    if (part.role == PartNames::Role::optional) optional_.insert(part.name);
  }
  // The name 'second' is only ours if 'text' is, too.
  if (target.second_text() != SecondText::none && (of("text") == "text" || !file.fields.contains("text")))
    own("second");
  optional_.insert("second");
  optional_.insert("weight");
  if (has_weights(file)) own("weight");
  find_usual(file, line, names, what);
}

void FieldNames::find_usual(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names,
                            std::string_view what) {
  const Target& target = target_of(file.kind);
  const bool vectors = !of("features").empty();
  std::vector<std::string_view> missing;
  for (const PartNames& one : target.parts()) {
    const std::string_view part = one.name;
    if (!of(part).empty() || (vectors && one.role == PartNames::Role::input)) continue;
    std::vector<Candidate> fits = usual_candidates(file, part, names);
    std::erase_if(fits, [&](const Candidate& candidate) {
      return std::any_of(theirs_.begin(), theirs_.end(),
                         [&](const auto& taken) { return taken.second == candidate.name; });
    });
    if (fits.empty() && is_optional(part)) continue;
    if (fits.empty() && target.language(file, part)) ask_for_languages(file, line, names);
    if (fits.empty()) {
      missing.push_back(part);
      continue;
    }
    if (fits.size() > 1) ask(file, line, part, fits);
    theirs_[part] = fits[0].name;
    if (part == "text" && of("second").empty() && !fits[0].second.empty()) theirs_["second"] = fits[0].second;
    usual_ = true;
  }
  if (!missing.empty()) fail_missing(file, line, missing, names, what);
}

bool FieldNames::has_weights(const SampleFile& file) const {
  const bool taken =
      std::ranges::any_of(theirs_, [](const auto& one) { return one.first != "weight" && one.second == "weight"; });
  return file.weights && (!of("weight").empty() || !taken);
}

void FieldNames::say(const SampleFile& file) const {
  if (!usual_ || !file.inputs) return;
  std::vector<std::string> taken;
  for (const std::string_view part : part_names())
    if (!of(part).empty()) taken.push_back(fmt::format("{}:{}", part, of(part)));
  file.inputs->say(fmt::format("task '{}': took columns = {}; write it into the task's section to choose others",
                               file.task, fmt::join(taken, ", ")));
}

bool FieldNames::marks_no_label(const SampleFile& file, std::string_view label) const {
  const LabelRules* rules = target_of(file.kind).labels();
  if (rules == nullptr || !rules->optional) return false;
  if (file.no_label.empty()) return label == "-" && lowered(of(rules->part)) == "gold_label";
  return std::find(file.no_label.begin(), file.no_label.end(), label) != file.no_label.end();
}

bool looks_like_names(const SampleFile& file, const std::vector<std::string>& fields) {
  const auto is_name = [&](std::string_view part, const std::string& field) {
    const std::string name = lowered(field);
    if (name == part) return true;
    const Names& usual = usual_names(file.kind, part);
    return std::find(usual.begin(), usual.end(), name) != usual.end() ||
           (part == "text" &&
            std::any_of(kPairs.begin(), kPairs.end(), [&](const auto& p) { return p.first == name; }));
  };
  for (const PartNames& part : target_of(file.kind).parts()) {
    if (part.role == PartNames::Role::optional) continue;
    const auto column = std::find(file.columns.begin(), file.columns.end(), part.name) - file.columns.begin();
    if (column >= std::ssize(fields) || !is_name(part.name, fields[static_cast<std::size_t>(column)])) return false;
  }
  return true;
}

}  // namespace polyhead
