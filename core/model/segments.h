// Packed sequences: the rows of several sequences in one tensor, without padding. On a GPU, results are equal up to
// rounding.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/torch.h"

namespace polyhead {

// Where sequences begin and end, on the host and as tensors.
struct Segments {
  std::vector<std::int64_t> offsets;  // [sequences + 1], from 0
  torch::Tensor lengths;              // [sequences] i64, on the device
  torch::Tensor positions;            // [tokens] i64, on the device: index of each token in its sequence

  std::int64_t sequences() const { return std::ssize(offsets) - 1; }
  std::int64_t tokens() const { return offsets.back(); }
  torch::Tensor sequence_of_rows() const;  // [tokens] i64, on the device
  static Segments from(std::vector<std::int64_t> offsets, torch::Device device);
};

// Returns the sum of the rows of each sequence: [tokens, channels] becomes [sequences, channels].
torch::Tensor segment_sum(const torch::Tensor& x, const Segments& segments);

// Returns the softmax of each channel over the rows of each sequence, [tokens, channels].
torch::Tensor segment_softmax(const torch::Tensor& x, const Segments& segments);

}  // namespace polyhead
