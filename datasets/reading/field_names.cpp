// Tables of common names.
#include "datasets/reading/field_names.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/reading/input_files.h"

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

const Names& usual_names(Part part, Kind kind) {
  static const Names texts = {"sentence", "review",  "review_text",  "reviewtext",   "review_body",
                              "content",  "comment", "comment_text", "tweet",        "post",
                              "document", "article", "body",         "message",      "utterance",
                              "question", "query",   "headline",     "sentence_text"};
  static const Names sources = {"source",   "src",     "source_text", "source_sentence", "input",   "sentence",
                                "document", "article", "question",    "dialogue",        "content", "review"};
  static const Names labels = {"gold_label", "category",     "class",    "class_label", "class index",
                               "sentiment",  "intent",       "polarity", "emotion",     "is_duplicate",
                               "label_id",   "coarse_label", "stars",    "fine_label",  "rating",
                               "topic",      "language",     "relation", "labels"};
  static const Names sets = {"label", "categories", "genres", "genre", "topics", "tags", "emotions", "classes"};
  static const Names values = {
      "score", "label", "similarity", "similarity_score", "rating", "stars", "relatedness_score", "target", "y"};
  static const Names targets = {"tgt",    "target_text", "target_sentence", "translation", "summary",
                                "output", "response",    "answer",          "highlights"};
  static const Names words = {"tokens", "token", "word"};
  static const Names tags = {"ner_tags", "pos_tags", "chunk_tags", "upos", "xpos", "ner", "pos", "labels", "tag"};
  static const Names none;
  switch (part) {
    case Part::text:
      return kind == Kind::translation ? sources : texts;
    case Part::label:
      return labels;
    case Part::labels:
      return sets;
    case Part::value:
      return values;
    case Part::target:
      return targets;
    case Part::words:
      return words;
    case Part::tags:
      return tags;
    case Part::second:
    case Part::features:
      break;
  }
  return none;
}

std::string lowered(std::string_view text) {
  std::string out(trim(text));
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view name_of(Part part) {
  return kPartNames[static_cast<std::size_t>(part)];
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

std::vector<Candidate> single_candidates(const SampleFile& file, Part part, const std::vector<std::string>& names) {
  std::vector<Candidate> all;
  const auto add = [&](const std::string& name) {
    if (!name.empty() && std::none_of(all.begin(), all.end(), [&](const Candidate& c) { return c.name == name; }))
      all.push_back({name, ""});
  };
  // A language of a translation is a name too: columns en and it, or {"translation": {"en": …, "it": …}}.
  if (file.kind == Kind::translation) {
    const std::string& language = part == Part::text ? file.source_language : file.target_language;
    if (!language.empty()) {
      add(spelled(names, lowered(language)));
      add(spelled(names, "translation." + lowered(language)));
      if (!all.empty()) return all;
    }
  }
  add(spelled(names, name_of(part)));  // with different case
  if (!all.empty()) return all;
  for (const std::string_view name : usual_names(part, file.kind)) add(spelled(names, name));
  return all;
}

std::vector<Candidate> text_candidates(const SampleFile& file, const std::vector<std::string>& names) {
  std::vector<Candidate> all;
  if (file.kind != Kind::translation)
    for (const auto& [first, second] : kPairs)
      if (const Candidate pair{spelled(names, first), spelled(names, second)};
          !pair.name.empty() && !pair.second.empty())
        all.push_back(pair);
  const std::vector<Candidate> pairs = all;
  for (Candidate& one : single_candidates(file, Part::text, names))
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

[[noreturn]] void ask(const SampleFile& file, std::uint64_t line, Part part, const std::vector<Candidate>& fits) {
  const std::string second = fits[0].second.empty() ? "" : fmt::format(", second:{}", fits[0].second);
  file.fail(line, fmt::format("{} fit '{}'; say which one it is: add for example 'columns = {}:{}{}' to the task's "
                              "section",
                              in_words(fits), name_of(part), name_of(part), fits[0].name, second));
}

// missing: the parts that no name of the file fits.
[[noreturn]] void fail_missing(const SampleFile& file, std::uint64_t line, const std::vector<Part>& missing,
                               const std::vector<std::string>& names, std::string_view what) {
  std::vector<std::string> quoted, pairs;
  for (const Part part : missing) {
    quoted.push_back(fmt::format("'{}'", name_of(part)));
    pairs.push_back(fmt::format("{}:{}", name_of(part), what == "key" ? "KEY" : "NAME"));
  }
  const std::string columns = fmt::format("'columns = {}'", fmt::join(pairs, ", "));
  const std::string kind(polyhead::name_of(file.kind));
  if (what == "key")
    file.fail(line,
              fmt::format("lacks the key {}, which a {} task needs; the keys are {}. Add it to the line, or if the "
                          "file uses other names, add {} to the task's section",
                          fmt::join(quoted, " and the key "), kind, fmt::join(names, ", "), columns));
  std::vector<std::string_view> ours;
  for (const Part one : needed_parts(file.kind)) ours.push_back(name_of(one));
  if (file.kind != Kind::tagging && file.kind != Kind::translation && names.size() == ours.size() + 1)
    ours.insert(ours.begin() + 1, name_of(Part::second));
  file.fail(
      line,
      fmt::format("there is no column {}, which a {} task needs; the columns are {}. If the file uses other "
                  "names, add {} to the task's section; if the file's first line is a sample and holds no names, "
                  "list the columns in the order of the file, for example 'columns = {}'",
                  fmt::join(quoted, " and no column "), kind, fmt::join(names, ", "), columns, fmt::join(ours, ", ")));
}

}  // namespace

std::vector<NameCandidate> usual_candidates(const SampleFile& file, Part part, const std::vector<std::string>& names) {
  return part == Part::text ? text_candidates(file, names) : single_candidates(file, part, names);
}

std::string usual_names_of(Part part, Kind kind) {
  const std::string all = fmt::format("{}", fmt::join(usual_names(part, kind), ", "));
  const bool pairs = part == Part::text && kind != Kind::translation && kind != Kind::tagging;
  return all + (pairs ? ", or a pair such as premise with hypothesis" : "");
}

std::string in_words(const std::vector<NameCandidate>& candidates) {
  std::vector<std::string> names;
  for (const NameCandidate& one : candidates)
    names.push_back(one.second.empty() ? fmt::format("'{}'", one.name)
                                       : fmt::format("'{}' with '{}'", one.name, one.second));
  return fmt::format("{}", fmt::join(names, " and "));
}

std::vector<Part> needed_parts(Kind kind) {
  switch (kind) {
    case Kind::classification:
      return {Part::text, Part::label};
    case Kind::multilabel:
      return {Part::text, Part::labels};
    case Kind::regression:
      return {Part::text, Part::value};
    case Kind::tagging:
      return {Part::words, Part::tags};
    case Kind::translation:
      return {Part::text, Part::target};
    case Kind::masked_lm:
      break;
  }
  return {Part::text};
}

FieldNames::FieldNames(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names,
                       std::string_view what) {
  for (std::size_t p = 0; p < kPartNames.size(); ++p) {
    const auto given = file.fields.find(std::string(kPartNames[p]));
    if (given == file.fields.end()) continue;
    if (!has(names, given->second))
      file.fail(line, fmt::format("there is no {} '{}', which 'columns = {}:{}' names; the {}s are {}", what,
                                  given->second, given->first, given->second, what, fmt::join(names, ", ")));
    theirs_[p] = given->second;
  }
  const bool vectors = !of(Part::features).empty() || has(names, "features");
  if (vectors && of(Part::features).empty()) at(Part::features) = "features";
  const auto own = [&](Part part) {
    if (of(part).empty() && has(names, name_of(part))) at(part) = name_of(part);
  };
  for (const Part part : needed_parts(file.kind)) own(part);
  // The name 'second' is only ours if 'text' is, too.
  if (file.kind != Kind::tagging && (of(Part::text) == "text" || !file.fields.contains("text"))) own(Part::second);
  find_usual(file, line, names, what);
}

void FieldNames::find_usual(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names,
                            std::string_view what) {
  const bool vectors = !of(Part::features).empty();
  std::vector<Part> missing;
  for (const Part part : needed_parts(file.kind)) {
    if (!of(part).empty() || (vectors && (part == Part::text || part == Part::words))) continue;
    std::vector<Candidate> fits = usual_candidates(file, part, names);
    std::erase_if(fits, [&](const Candidate& one) {
      return std::any_of(theirs_.begin(), theirs_.end(), [&](const std::string& taken) { return taken == one.name; });
    });
    if (fits.empty() && file.kind == Kind::translation) ask_for_languages(file, line, names);
    if (fits.empty()) {
      missing.push_back(part);
      continue;
    }
    if (fits.size() > 1) ask(file, line, part, fits);
    at(part) = fits[0].name;
    if (part == Part::text && of(Part::second).empty()) at(Part::second) = fits[0].second;
    usual_ = true;
  }
  if (!missing.empty()) fail_missing(file, line, missing, names, what);
}

void FieldNames::say(const SampleFile& file) const {
  if (!usual_ || !file.inputs) return;
  std::vector<std::string> taken;
  for (std::size_t p = 0; p < theirs_.size(); ++p)
    if (!theirs_[p].empty()) taken.push_back(fmt::format("{}:{}", kPartNames[p], theirs_[p]));
  file.inputs->say(fmt::format("task '{}': took columns = {}; write it into the task's section to choose others",
                               file.task, fmt::join(taken, ", ")));
}

bool FieldNames::marks_no_label(const SampleFile& file, std::string_view label) const {
  if (file.kind != Kind::classification) return false;
  if (file.no_label.empty()) return label == "-" && lowered(of(Part::label)) == "gold_label";
  return std::find(file.no_label.begin(), file.no_label.end(), label) != file.no_label.end();
}

bool looks_like_names(const SampleFile& file, const std::vector<std::string>& fields) {
  const auto is_name = [&](Part part, const std::string& field) {
    const std::string name = lowered(field);
    if (name == name_of(part)) return true;
    const Names& usual = usual_names(part, file.kind);
    return std::find(usual.begin(), usual.end(), name) != usual.end() ||
           (part == Part::text &&
            std::any_of(kPairs.begin(), kPairs.end(), [&](const auto& p) { return p.first == name; }));
  };
  for (const Part part : needed_parts(file.kind)) {
    const auto column = std::find(file.columns.begin(), file.columns.end(), name_of(part)) - file.columns.begin();
    if (column >= std::ssize(fields) || !is_name(part, fields[static_cast<std::size_t>(column)])) return false;
  }
  return true;
}

}  // namespace polyhead
