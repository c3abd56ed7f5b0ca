// Exact match and token F1 of extracted answers, as the evaluation script of SQuAD 2.0 computes them (Rajpurkar et al.,
// 2018).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// Returns the words of an answer that are compared: lower-case, without ASCII punctuation and the articles a, an and
// the, split at white space. Lower case is Unicode's simple mapping.
std::vector<std::string> answer_words(std::string_view text);

struct AnswerScore {
  double exact_match = 0;  // 1 if the words are those of a reference, else 0
  double f1 = 0;           // harmonic mean of precision and recall over the bags of words
};
// Returns the best of each over the references. If the answer or a reference has no words, its f1 is its exact_match.
AnswerScore score_answer(std::string_view answer, const std::vector<std::string>& references);

}  // namespace polyhead
