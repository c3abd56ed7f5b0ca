// Manages the prefixes of a beam search.
#include "core/heads/beam_search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace polyhead {

BeamSearch::BeamSearch(const SearchOptions& options, std::vector<std::int64_t> limits, std::int64_t bos,
                       std::int64_t eos)
    : options_(options),
      limits_(std::move(limits)),
      ended_(limits_.size()),
      bos_(bos),
      eos_(eos),
      best_(limits_.size()),
      score_(limits_.size(), -std::numeric_limits<double>::infinity()) {
  for (std::size_t sentence = 0; sentence < limits_.size(); ++sentence) rows_.push_back({sentence, {}});
}

std::vector<std::int64_t> BeamSearch::offsets() const {
  std::vector<std::int64_t> offsets(limits_.size() + 1);
  for (const Row& row : rows_) ++offsets[row.sentence + 1];
  for (std::size_t i = 1; i < offsets.size(); ++i) offsets[i] += offsets[i - 1];
  return offsets;
}

std::vector<std::int64_t> BeamSearch::last_tokens() const {
  std::vector<std::int64_t> tokens;
  for (const Row& row : rows_) tokens.push_back(row.prefix.tokens.empty() ? bos_ : row.prefix.tokens.back());
  return tokens;
}

double BeamSearch::penalty(std::int64_t length) const {
  return std::pow((5 + static_cast<double>(length)) / 6, options_.length_penalty);
}

void BeamSearch::end(std::size_t sentence, Hypothesis hypothesis, std::int64_t length) {
  const double score = hypothesis.log_probability / penalty(length);
  if (++ended_[sentence] > 1 && !(score > score_[sentence])) return;
  score_[sentence] = score;
  best_[sentence] = std::move(hypothesis);
}

std::vector<std::int64_t> BeamSearch::advance(const std::vector<std::int64_t>& tokens,
                                              const std::vector<double>& log_probabilities, std::size_t width) {
  struct Candidate {
    double log_probability;
    std::size_t row;
    std::int64_t token;
  };
  std::vector<Row> next;
  std::vector<std::int64_t> parents;
  std::vector<Candidate> candidates;
  ++length_;
  for (std::size_t begin = 0, end = 0; begin < rows_.size(); begin = end) {
    const std::size_t sentence = rows_[begin].sentence;
    candidates.clear();
    for (; end < rows_.size() && rows_[end].sentence == sentence; ++end)
      for (std::size_t i = end * width; i < (end + 1) * width; ++i)
        candidates.push_back({rows_[end].prefix.log_probability + log_probabilities[i], end, tokens[i]});
    std::ranges::stable_sort(candidates, std::greater<>(), &Candidate::log_probability);
    candidates.resize(std::min(candidates.size(), static_cast<std::size_t>(options_.beam - ended_[sentence])));

    const std::size_t first = next.size();
    for (const Candidate& candidate : candidates) {
      Hypothesis prefix{rows_[candidate.row].prefix.tokens, candidate.log_probability};
      if (candidate.token != eos_) prefix.tokens.push_back(candidate.token);
      if (candidate.token == eos_ || length_ == limits_[sentence]) {
        this->end(sentence, std::move(prefix), length_);
        continue;
      }
      next.push_back({sentence, std::move(prefix)});
      parents.push_back(static_cast<std::int64_t>(candidate.row));
    }
    // The sentence is done if no prefix can win any more: log P only decreases, and no penalty is larger than that of
    // the limit.
    if (first < next.size() && ended_[sentence] > 0 &&
        next[first].prefix.log_probability / penalty(limits_[sentence]) <= score_[sentence]) {
      next.resize(first);
      parents.resize(first);
    }
  }
  rows_ = std::move(next);
  return parents;
}

}  // namespace polyhead
