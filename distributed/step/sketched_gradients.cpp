// See sketched_gradients.h.
#include "distributed/step/sketched_gradients.h"

#include <algorithm>
#include <span>

#include "core/balancing/gram.h"

namespace polyhead {

SketchedGradients::SketchedGradients(std::int64_t elements, std::int64_t size, torch::Device device, std::size_t tasks)
    : sketch_(elements, sketch_size(size), device), sums_(tasks * static_cast<std::size_t>(sketch_.size()), 0) {}

void SketchedGradients::begin() {
  std::ranges::fill(sums_, 0);
}

void SketchedGradients::add(std::size_t task, const torch::Tensor& gradient) {
  const auto size = static_cast<std::size_t>(sketch_.size());
  sketch_.add(gradient, 1, std::span(sums_).subspan(task * size, size));
}

SquareMatrix SketchedGradients::inner_products(Communicator& world) {
  world.all_reduce("sketches", sums_);
  const auto size = static_cast<std::size_t>(sketch_.size());
  std::vector<GradientRow> rows;
  for (std::size_t first = 0; first < sums_.size(); first += size)
    rows.push_back({torch::from_blob(&sums_[first], {sketch_.size()}, torch::kFloat64)});
  SquareMatrix products(rows.size());
  add_inner_products(rows, false, products);
  return products;
}

}  // namespace polyhead
