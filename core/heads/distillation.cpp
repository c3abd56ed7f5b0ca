// The divergence of two softened distributions.
#include "core/heads/distillation.h"

namespace polyhead {

torch::Tensor softened_divergence(const torch::Tensor& logits, const Distillation& teacher) {
  const double t = teacher.temperature;
  const torch::Tensor expected = at::log_softmax(teacher.outputs.to(logits.scalar_type()) / t, -1);
  return t * t * at::kl_div(at::log_softmax(logits / t, -1), expected, at::Reduction::Sum, /*log_target=*/true);
}

}  // namespace polyhead
