#include "core/balancing/symmetric_eigen.h"

#include <algorithm>
#include <limits>

#include "core/balancing/linear_algebra.h"
#include "core/model/torch.h"

namespace polyhead {

SymmetricEigen symmetric_eigen(const SquareMatrix& matrix, const std::vector<double>& vector) {
  const auto n = static_cast<std::int64_t>(matrix.size());
  const at::NoGradGuard no_gradients;
  const at::Tensor input = at::empty({n, n}, at::TensorOptions().dtype(at::kDouble).device(at::kCPU));
  std::copy_n(matrix.data(), matrix.size() * matrix.size(), input.data_ptr<double>());
  const auto found = at::linalg_eigh(input);
  const at::Tensor values = std::get<0>(found).contiguous();
  const at::Tensor vectors = std::get<1>(found).t().contiguous();

  SymmetricEigen eigen{{}, {}, SquareMatrix(matrix.size())};
  const double smallest =
      values.data_ptr<double>()[n - 1] * static_cast<double>(n) * std::numeric_limits<double>::epsilon();
  for (std::int64_t k = n; k-- > 0;) {
    const double value = values.data_ptr<double>()[k];
    if (!(value > smallest)) break;
    std::copy_n(vectors.data_ptr<double>() + k * n, n,
                eigen.vectors.data() + static_cast<std::int64_t>(eigen.values.size()) * n);
    eigen.projections.push_back(dot(row_of(eigen.vectors, eigen.values.size()), vector));
    eigen.values.push_back(value);
  }
  return eigen;
}

std::vector<double> combine(const SymmetricEigen& eigen, const std::vector<double>& factor) {
  std::vector<double> result(eigen.vectors.size(), 0);
  for (std::size_t k = 0; k < eigen.values.size(); ++k)
    add_scaled(factor[k] * eigen.projections[k], row_of(eigen.vectors, k), result);
  return result;
}

std::vector<double> pseudo_solve(const SquareMatrix& matrix, const std::vector<double>& vector) {
  const SymmetricEigen eigen = symmetric_eigen(matrix, vector);
  std::vector<double> inverse = eigen.values;
  for (double& value : inverse) value = 1 / value;
  return combine(eigen, inverse);
}

}  // namespace polyhead
