// Activation checkpointing as one autograd function, whose backward runs forward once more.
#include "core/model/activation_checkpointing.h"

#include <utility>

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Computation = std::function<Tensor(Tensor)>;

// In the form in which an AutogradContext can keep it.
struct Kept : torch::CustomClassHolder {
  explicit Kept(Computation f) : f(std::move(f)) {}
  Computation f;
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Computation& f) {
    context->save_for_backward({x});
    context->saved_data["f"] = c10::IValue::make_capsule(c10::make_intrusive<Kept>(f));
    return f(x);
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const auto kept = context->saved_data["f"].toCapsule();
    const Tensor x = context->get_saved_variables()[0].detach().requires_grad_(true);
    Tensor y;
    {
      const at::AutoGradMode with_gradient(true);
      y = static_cast<const Kept&>(*kept).f(x);
    }
    y.backward(gradient[0]);
    return {x.grad(), Tensor()};
  }
};

}  // namespace

torch::Tensor checkpointed(const Computation& f, const Tensor& x) {
  return Checkpointed::apply(x, f);
}

}  // namespace polyhead
