// The loss of the targets alone, of heads that train with label smoothing: for people to read, never trained on.
#pragma once

#include "core/model/torch.h"

namespace polyhead {

// While it lives, heads of this thread that smooth labels also tell the sum of the negative log-likelihoods of their
// targets, without smoothing. One at a time.
class PlainLoss {
 public:
  PlainLoss();
  ~PlainLoss();
  PlainLoss(const PlainLoss&) = delete;
  PlainLoss& operator=(const PlainLoss&) = delete;

  // What was told since the last call, a scalar without a gradient; undefined: nothing.
  torch::Tensor take();

  // For heads: whether anybody listens on this thread, and the sum.
  static bool wanted();
  static void tell(const torch::Tensor& sum);

 private:
  torch::Tensor sum_;
};

}  // namespace polyhead
