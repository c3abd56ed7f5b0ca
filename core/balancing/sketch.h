// A sketch of a long vector: few numbers whose inner products with another vector's sketch are, in expectation, those
// of the vectors (Charikar, Chen and Farach-Colton, 2002).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/torch.h"

namespace polyhead {

// Returns the size rounded up to what a Sketch allows.
constexpr std::int64_t sketch_size(std::int64_t size) {
  return (size + 63) / 64 * 64;
}

// Element i is multiplied by a random sign, which depends on i alone, and added to number (i mod size). The standard
// deviation of a cosine that is computed from two sketches is about 1 / sqrt(size).
class Sketch {
 public:
  // Of vectors of `elements` numbers on `device`. size: a multiple of 64.
  Sketch(std::int64_t elements, std::int64_t size, torch::Device device);

  std::int64_t size() const { return size_; }
  // Adds scale times the sketch of `flat`, [elements] float32 or float64, to `sums`, [size].
  void add(const torch::Tensor& flat, double scale, std::span<double> sums) const;

 private:
  std::int64_t elements_, size_;
  std::vector<std::uint64_t> bits_;  // of the signs, on the host
  torch::Tensor signs_;              // [elements] int8, on a device
};

}  // namespace polyhead
