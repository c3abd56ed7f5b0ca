// Normalises answers and compares their words.
#include "core/metrics/answers.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "core/base/utf8.h"

namespace polyhead {
namespace {

// Python's string.punctuation.
bool is_punctuation(char32_t c) {
  return (c >= U'!' && c <= U'/') || (c >= U':' && c <= U'@') || (c >= U'[' && c <= U'`') || (c >= U'{' && c <= U'~');
}

// A character of \w in a regular expression of Python, which \b and so the articles depend on.
bool is_word_character(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

// Replaces the articles, which are whole runs of word characters, by spaces.
std::u32string without_articles(const std::u32string& text) {
  std::u32string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_word_character(text[end])) ++end;
    const std::u32string word = text.substr(at, end - at);
    if (word == U"a" || word == U"an" || word == U"the")
      out += U' ';
    else
      out += word;
    if (end < text.size()) out += text[end++];
    at = end;
  }
  return out;
}

AnswerScore score_words(const std::vector<std::string>& answer, const std::vector<std::string>& reference) {
  AnswerScore score{.exact_match = answer == reference ? 1.0 : 0.0};
  if (answer.empty() || reference.empty()) return {score.exact_match, score.exact_match};
  std::map<std::string, std::int64_t> left;
  for (const std::string& word : reference) ++left[word];
  double common = 0;
  for (const std::string& word : answer) common += left[word]-- > 0;
  if (common == 0) return score;
  const double precision = common / static_cast<double>(answer.size()),
               recall = common / static_cast<double>(reference.size());
  score.f1 = 2 * precision * recall / (precision + recall);
  return score;
}

}  // namespace

std::vector<std::string> answer_words(std::string_view text) {
  std::u32string kept;
  for (const char32_t c : decode_utf8(text)) {
    if (c == U'\u0130')  // the capital I with a dot is the one letter whose lower case is two characters
      kept += U"i\u0307";
    else if (!is_punctuation(c))
      kept += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  }
  std::vector<std::string> words;
  std::u32string word;
  for (const char32_t c : without_articles(kept) + U' ') {
    if (!is_space(c)) {
      word += c;
    } else if (!word.empty()) {
      words.push_back(encode_utf8(word));
      word.clear();
    }
  }
  return words;
}

AnswerScore score_answer(std::string_view answer, const std::vector<std::string>& references) {
  const std::vector<std::string> words = answer_words(answer);
  AnswerScore best;
  for (const std::string& reference : references) {
    const AnswerScore score = score_words(words, answer_words(reference));
    best.exact_match = std::max(best.exact_match, score.exact_match);
    best.f1 = std::max(best.f1, score.f1);
  }
  return best;
}

}  // namespace polyhead
