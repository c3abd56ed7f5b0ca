// Products of small vectors and matrices, and a Cholesky factor that grows and shrinks.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/balancing/square_matrix.h"

namespace polyhead {

double dot(std::span<const double> x, std::span<const double> y);
// y += scale x
void add_scaled(double scale, std::span<const double> x, std::span<double> y);
double sum(std::span<const double> x);
std::span<const double> row_of(const SquareMatrix& matrix, std::size_t row);
std::vector<double> product(const SquareMatrix& matrix, std::span<const double> x);
// x' matrix x, at least 0.
double quadratic_form(const SquareMatrix& matrix, std::span<const double> x);

// The Cholesky factor of a symmetric matrix of at most `capacity` rows, to which rows are appended and from which any
// row is removed, in time proportional to the square of their number.
class GrowingCholesky {
 public:
  explicit GrowingCholesky(std::size_t capacity) : factor_(capacity) {}

  std::size_t size() const { return size_; }
  void clear() { size_ = 0; }
  // Appends a row: its products with the rows that are there, [size()], and with itself. Returns false, and changes
  // nothing, if the part of its square that the others do not explain is at most `dependence` times the square.
  bool append(std::span<const double> products, double square, double dependence);
  void remove(std::size_t row);
  // Solves in place, x: [size()].
  void solve(std::span<double> x) const;

 private:
  SquareMatrix factor_;  // lower triangle
  std::size_t size_ = 0;
};

}  // namespace polyhead
