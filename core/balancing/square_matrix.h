// A small dense matrix of doubles.
#pragma once

#include <cstddef>
#include <vector>

namespace polyhead {

class SquareMatrix {
 public:
  SquareMatrix() = default;
  explicit SquareMatrix(std::size_t size) : size_(size), values_(size * size, 0) {}

  std::size_t size() const { return size_; }
  double& operator()(std::size_t row, std::size_t column) { return values_[row * size_ + column]; }
  double operator()(std::size_t row, std::size_t column) const { return values_[row * size_ + column]; }
  double* data() { return values_.data(); }  // row by row
  const double* data() const { return values_.data(); }

 private:
  std::size_t size_ = 0;
  std::vector<double> values_;
};

}  // namespace polyhead
