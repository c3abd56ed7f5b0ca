// Activation checkpointing as an autograd function whose backward runs forward again. The leaves that f uses are inputs
// of this function, so their gradients flow through the graph like all others: each is accumulated once per backward,
// when it is complete.
#include "core/model/activation_checkpointing.h"

#include <unordered_set>
#include <utility>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#pragma GCC diagnostic pop

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Node;
using torch::autograd::tensor_list;
using Computation = std::function<Tensor(Tensor)>;

// In a form that an AutogradContext can store.
struct Kept : torch::CustomClassHolder {
  explicit Kept(Computation f) : f(std::move(f)) {}
  Computation f;
};

// Hidden from autograd, so that it is not an input of the function.
struct Result {
  Tensor y;
};

struct Checkpointed : torch::autograd::Function<Checkpointed> {
  static Tensor forward(AutogradContext* context, at::TensorList inputs, const Result& result, const Computation& f) {
    context->save_for_backward(inputs.vec());
    context->saved_data["f"] = c10::IValue::make_capsule(c10::make_intrusive<Kept>(f));
    return result.y;
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const auto kept = context->saved_data["f"].toCapsule();
    tensor_list inputs = context->get_saved_variables();
    inputs[0] = inputs[0].detach().requires_grad_(true);
    Tensor y;
    {
      const at::AutoGradMode with_gradient(true);
      y = static_cast<const Kept&>(*kept).f(inputs[0]);
    }
    tensor_list gradients = torch::autograd::grad({y}, inputs, {gradient[0]}, false, false, true);
    gradients.resize(inputs.size() + 2);
    return gradients;
  }
};

// Returns the leaves other than x that a gradient of y reaches, in the order in which they are found.
tensor_list leaves_of(const Tensor& y, const Tensor& x) {
  tensor_list leaves;
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> open;
  const auto visit = [&](const Node* node) {
    if (!node || !seen.insert(node).second) return;
    if (const auto* leaf = dynamic_cast<const torch::autograd::AccumulateGrad*>(node)) {
      if (!leaf->variable.is_same(x)) leaves.push_back(leaf->variable);
    } else {
      open.push_back(node);
    }
  };
  visit(y.grad_fn().get());
  while (!open.empty()) {
    const Node* const node = open.back();
    open.pop_back();
    for (const auto& edge : node->next_edges()) visit(edge.function.get());
  }
  return leaves;
}

}  // namespace

torch::Tensor checkpointed(const Computation& f, const Tensor& x) {
  const Tensor cut = x.detach().requires_grad_(true);
  Tensor y = f(cut);
  tensor_list inputs = leaves_of(y, cut);
  inputs.insert(inputs.begin(), x);
  y = y.detach();  // the activations inside f are freed here
  return Checkpointed::apply(at::TensorList(inputs), Result{y}, f);
}

}  // namespace polyhead
