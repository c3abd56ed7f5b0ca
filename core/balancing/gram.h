// Inner products and weighted sums of the tasks' gradients, accumulated in double.
#pragma once

#include <span>
#include <vector>

#include "core/balancing/square_matrix.h"
#include "core/model/torch.h"

namespace polyhead {

// The gradient of one task, or a part of it, as the sum of tensors: one from each worker of the task's group. They are
// contiguous, [elements] float32 or float64, on one device, and at least one.
using GradientRow = std::vector<torch::Tensor>;

// Adds the inner products of the rows to `gram`, [rows, rows]. All rows have the same length. diagonal_only: computes
// only the squared norms.
void add_inner_products(const std::vector<GradientRow>& rows, bool diagonal_only, SquareMatrix& gram);

// Writes the sum over rows of weights[r] * rows[r] to each of `targets`, which are as long as a row. A target may be a
// tensor of a row, and overlaps no row otherwise. weights: [rows]. Returns the squared norm of what was written.
// Without rows the sum is 0.
double weighted_sum(const std::vector<GradientRow>& rows, std::span<const double> weights,
                    const std::vector<torch::Tensor>& targets);

}  // namespace polyhead
