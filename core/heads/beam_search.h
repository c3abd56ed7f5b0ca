// Beam search over many sentences at once: it manages the prefixes, without the model.
// - The prefixes of a sentence compete by log-probability. A prefix that ends leaves the beam, which becomes narrower
//   by one.
// - The best ended prefix has the highest log P(y) / lp(y) with lp(y) = ((5 + |y|) / 6)^length_penalty, where |y|
//   counts "eos" (Wu et al., 2016, "Google's Neural Machine Translation System", equation 14, without its coverage
//   penalty).
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/options.h"

namespace polyhead {

class BeamSearch {
 public:
  struct Hypothesis {
    std::vector<std::int64_t> tokens;  // without eos
    double log_probability = 0;        // of the tokens, and of eos if the hypothesis ended with it
  };

  // limits: [sentences] maximum number of tokens, eos included, each at least 1. A prefix that reaches its limit ends
  // there.
  BeamSearch(const SearchOptions& options, std::vector<std::int64_t> limits, std::int64_t bos, std::int64_t eos);

  // The prefixes to extend, ordered by sentence, all of the same length. The search is done when there are none.
  std::vector<std::int64_t> offsets() const;      // [sentences + 1], from 0
  std::vector<std::int64_t> last_tokens() const;  // [rows]; bos at the start
  bool done() const { return rows_.empty(); }

  // Extends every row by its `width` most probable tokens. tokens and log_probabilities are [rows, width], best first;
  // width is at least min(beam, vocabulary). Returns the parent of each new row: its index among the previous rows.
  std::vector<std::int64_t> advance(const std::vector<std::int64_t>& tokens,
                                    const std::vector<double>& log_probabilities, std::size_t width);

  // [sentences] the best ended hypothesis of each; complete when done().
  const std::vector<Hypothesis>& best() const { return best_; }

 private:
  struct Row {
    std::size_t sentence;
    Hypothesis prefix;
  };
  double penalty(std::int64_t length) const;
  void end(std::size_t sentence, Hypothesis hypothesis, std::int64_t length);

  SearchOptions options_;
  std::vector<std::int64_t> limits_, ended_;  // [sentences]
  std::int64_t bos_, eos_, length_ = 0;
  std::vector<Row> rows_;
  std::vector<Hypothesis> best_;  // [sentences]
  std::vector<double> score_;     // [sentences] score of the best hypothesis, with the length penalty
};

}  // namespace polyhead
