// The divergence of two softened distributions.
#include "core/heads/distillation.h"

namespace polyhead {

torch::Tensor softened_divergence(const torch::Tensor& logits, const Distillation& teacher,
                                  const torch::Tensor& weights) {
  const double t = teacher.temperature;
  const torch::Tensor expected = at::log_softmax(teacher.outputs.to(logits.scalar_type()) / t, -1);
  const torch::Tensor found = at::log_softmax(logits / t, -1);
  if (!weights.defined()) return t * t * at::kl_div(found, expected, at::Reduction::Sum, /*log_target=*/true);
  return t * t * (at::kl_div(found, expected, at::Reduction::None, /*log_target=*/true).sum(-1) * weights).sum();
}

}  // namespace polyhead
