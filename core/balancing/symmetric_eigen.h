// Eigenvalues of symmetric matrices, by LibTorch.
#pragma once

#include <vector>

#include "core/balancing/square_matrix.h"

namespace polyhead {

struct SymmetricEigen {
  std::vector<double> values;       // [rank] descending
  std::vector<double> projections;  // [rank] of the given vector on the eigenvectors
  SquareMatrix vectors;             // row k, for k < rank: the eigenvector of values[k]
};

// The eigenvalues above n * 2.2e-16 times the largest one, and the product of their eigenvectors with `vector`, [n].
SymmetricEigen symmetric_eigen(const SquareMatrix& matrix, const std::vector<double>& vector);

// sum over k of factor[k] projections[k] vectors[k], [n]
std::vector<double> combine(const SymmetricEigen& eigen, const std::vector<double>& factor);

// The least-squares solution of smallest norm of matrix x = vector, for a positive semidefinite matrix.
std::vector<double> pseudo_solve(const SquareMatrix& matrix, const std::vector<double>& vector);

}  // namespace polyhead
