// Inner products of the tasks' gradients by sketches of them, which need little memory and few bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/balancing/sketch.h"
#include "core/balancing/square_matrix.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

class SketchedGradients {
 public:
  // For gradients of `elements` numbers. size: of a sketch; it is rounded up to what a Sketch allows.
  SketchedGradients(std::int64_t elements, std::int64_t size, torch::Device device, std::size_t tasks);

  std::int64_t size() const { return sketch_.size(); }
  // Starts a step, in which no task has a gradient yet.
  void begin();
  // Adds a part of the task's gradient, as Sketch::add().
  void add(std::size_t task, const torch::Tensor& gradient);
  // Returns the inner products of the gradients, [tasks, tasks], of which all workers have added parts. Collective.
  SquareMatrix inner_products(Communicator& world);

  // Bytes that inner_products() reduces.
  std::size_t bytes() const { return sums_.size() * sizeof(double); }

 private:
  Sketch sketch_;
  std::vector<double> sums_;  // [tasks, size]
};

}  // namespace polyhead
