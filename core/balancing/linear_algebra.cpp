#include "core/balancing/linear_algebra.h"

#include <algorithm>
#include <cmath>

namespace polyhead {

double dot(std::span<const double> x, std::span<const double> y) {
  // Four sums, since one would wait for each addition.
  double a = 0, b = 0, c = 0, d = 0;
  std::size_t i = 0;
  for (; i + 4 <= x.size(); i += 4) {
    a += x[i] * y[i];
    b += x[i + 1] * y[i + 1];
    c += x[i + 2] * y[i + 2];
    d += x[i + 3] * y[i + 3];
  }
  for (; i < x.size(); ++i) a += x[i] * y[i];
  return (a + b) + (c + d);
}

void add_scaled(double scale, std::span<const double> x, std::span<double> y) {
  for (std::size_t i = 0; i < x.size(); ++i) y[i] += scale * x[i];
}

double sum(std::span<const double> x) {
  double total = 0;
  for (const double value : x) total += value;
  return total;
}

std::span<const double> row_of(const SquareMatrix& matrix, std::size_t row) {
  return {matrix.data() + row * matrix.size(), matrix.size()};
}

std::vector<double> product(const SquareMatrix& matrix, std::span<const double> x) {
  std::vector<double> y(matrix.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = dot(row_of(matrix, i), x);
  return y;
}

double quadratic_form(const SquareMatrix& matrix, std::span<const double> x) {
  return std::max(0.0, dot(product(matrix, x), x));
}

bool GrowingCholesky::append(std::span<const double> products, double square, double dependence) {
  double* const row = factor_.data() + size_ * factor_.size();
  double rest = square;
  for (std::size_t j = 0; j < size_; ++j) {
    const std::span<const double> other = row_of(factor_, j);
    row[j] = (products[j] - dot(other.first(j), {row, j})) / other[j];
  }
  rest -= dot({row, size_}, {row, size_});
  if (!(rest > dependence * square)) return false;
  row[size_] = std::sqrt(rest);
  ++size_;
  return true;
}

void GrowingCholesky::remove(std::size_t removed) {
  const std::size_t stride = factor_.size();
  double* const values = factor_.data();
  for (std::size_t i = removed + 1; i < size_; ++i) std::copy_n(values + i * stride, i + 1, values + (i - 1) * stride);
  --size_;
  // Row i now has an entry right of the diagonal, for i >= removed; rotations of columns j and j + 1 remove it.
  for (std::size_t j = removed; j < size_; ++j) {
    const double a = values[j * stride + j], b = values[j * stride + j + 1];
    const double radius = std::hypot(a, b), cosine = a / radius, sine = b / radius;
    values[j * stride + j] = radius;
    for (std::size_t i = j + 1; i < size_; ++i) {
      double& left = values[i * stride + j];
      double& right = values[i * stride + j + 1];
      const double old = left;
      left = cosine * old + sine * right;
      right = cosine * right - sine * old;
    }
  }
}

void GrowingCholesky::solve(std::span<double> x) const {
  for (std::size_t i = 0; i < size_; ++i) {
    const std::span<const double> row = row_of(factor_, i);
    x[i] = (x[i] - dot(row.first(i), x.first(i))) / row[i];
  }
  for (std::size_t i = size_; i-- > 0;) {
    const std::span<const double> row = row_of(factor_, i);
    x[i] /= row[i];
    add_scaled(-x[i], row.first(i), x.first(i));
  }
}

}  // namespace polyhead
