// Classification with ordered classes, as stars or grades are: the proportional odds model (McCullagh, Regression
// models for ordinal data, 1980) on what the task reads of the text. One score s and ordered thresholds t_1 < .. <
// t_{K-1}:
//   P(y <= k) = F(t_k - s),   F: the logistic function, or the normal distribution's (link = probit)
// The classes' order is that of the data set's labels, which import sorts as texts: 01 to 10, not 1 to 10.
#pragma once

#include "core/heads/pooled.h"

class OrdinalHead : public polyhead::PooledHead {
 public:
  explicit OrdinalHead(const polyhead::HeadSpec& spec);
  torch::Tensor loss(const polyhead::HeadInput& input, const polyhead::TaskSlice& slice) const override;
  polyhead::Scored score(const polyhead::HeadInput& input, const polyhead::TaskSlice& slice) const override;
  polyhead::Predicted predict(const polyhead::HeadInput& input) const override;

 private:
  torch::Tensor log_probabilities(const polyhead::HeadInput& input) const;  // [sequences, classes]

  polyhead::Parameter *first_, *gaps_ = nullptr;  // t_1: [1]; t_{k+1} - t_k = softplus(gap_k): [classes - 2]
  bool probit_ = false;
};

// Returns the number of grades between the label and the predicted label of a sample. Its mean is a metric that tells
// a near miss from a far one.
polyhead::SampleRow grade_distance(const polyhead::ScoredSample& sample);
