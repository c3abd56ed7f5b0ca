// Beam search over many sentences at once: the bookkeeping of prefixes, without the model. A sentence's prefixes
// compete by log-probability; one that ends leaves the beam, which gets narrower by it. The best ended one has the
// highest log P(y) / lp(y), lp(y) = ((5 + |y|) / 6)^length_penalty, |y| counting "eos" (Wu et al., 2016, "Google's
// Neural Machine Translation System", equation 14, without its coverage penalty).
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/options.h"

namespace polyhead {

class BeamSearch {
 public:
  struct Hypothesis {
    std::vector<std::int64_t> tokens;  // without eos
    double log_probability = 0;        // of the tokens and of eos, if it ended by that
  };

  // limits: [sentences] tokens at most, eos included, each at least 1; at the limit a prefix ends as it is.
  BeamSearch(const SearchOptions& options, std::vector<std::int64_t> limits, std::int64_t bos, std::int64_t eos);

  // The prefixes to go on with, sentence by sentence, all of one length; none: the search is over.
  std::vector<std::int64_t> offsets() const;      // [sentences + 1], from 0
  std::vector<std::int64_t> last_tokens() const;  // [rows]; bos at the start
  bool done() const { return rows_.empty(); }

  // Every row goes on by its `width` most probable tokens, best first: tokens and their log-probabilities, [rows,
  // width]. width is at least min(beam, vocabulary). Returns the parent of each new row, its index among the rows
  // before.
  std::vector<std::int64_t> advance(const std::vector<std::int64_t>& tokens,
                                    const std::vector<double>& log_probabilities, std::size_t width);

  // [sentences] the best of those that ended; complete when done.
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
  std::vector<double> score_;     // [sentences] of the best, with the length penalty
};

}  // namespace polyhead
