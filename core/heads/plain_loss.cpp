// Keeps one PlainLoss per thread.
#include "core/heads/plain_loss.h"

#include <utility>

namespace polyhead {
namespace {

thread_local PlainLoss* listener = nullptr;

}  // namespace

PlainLoss::PlainLoss() {
  listener = this;
}

PlainLoss::~PlainLoss() {
  listener = nullptr;
}

torch::Tensor PlainLoss::take() {
  return std::exchange(sum_, {});
}

bool PlainLoss::wanted() {
  return listener != nullptr;
}

void PlainLoss::report(const torch::Tensor& sum) {
  if (listener == nullptr) return;
  torch::Tensor& all = listener->sum_;
  all = all.defined() ? all + sum.detach() : sum.detach();
}

}  // namespace polyhead
