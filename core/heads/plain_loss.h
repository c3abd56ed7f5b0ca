// The loss without label smoothing, for heads that train with it. It is reported to users and never trained on.
#pragma once

#include "core/model/torch.h"

namespace polyhead {

// While this object lives, heads on this thread that smooth labels also report the sum of the negative log-likelihoods
// of their targets without smoothing. At most one object may exist per thread.
class PlainLoss {
 public:
  PlainLoss();
  ~PlainLoss();
  PlainLoss(const PlainLoss&) = delete;
  PlainLoss& operator=(const PlainLoss&) = delete;

  // Returns the sum of all reports since the last call, a scalar without a gradient; undefined if there was none.
  torch::Tensor take();

  // For heads: whether a PlainLoss exists on this thread, and the report of a sum.
  static bool wanted();
  static void report(const torch::Tensor& sum);

 private:
  torch::Tensor sum_;
};

}  // namespace polyhead
