// See task_buffer.h. DB-MTL (Lin et al., 2023) averages gradients of log losses; ExcessMTL (He et al., 2024) sums
// squares.
#include "core/balancing/task_buffer.h"

#include <algorithm>

namespace polyhead {
namespace {

constexpr double kSmallestLoss = 1e-8;  // the logarithm of a loss has no gradient at 0

}  // namespace

BufferedRow apply_buffer(const TaskBuffer& rule, const torch::Tensor& gradient, const torch::Tensor& buffer,
                         double loss) {
  if (rule.kind == TaskBuffer::Kind::log_average) {
    const torch::Tensor average = buffer.lerp(gradient / std::max(loss, kSmallestLoss), rule.rate);
    return {average, average, average};
  }
  const torch::Tensor squares = buffer + gradient.square();
  // Where all gradients so far were 0, this one is 0 too.
  const torch::Tensor measured = torch::where(squares > 0, gradient / squares.sqrt().sqrt(), 0);
  return {measured, gradient, squares};
}

}  // namespace polyhead
