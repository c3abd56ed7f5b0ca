// On the host: blocks that fit into the caches are converted to double once, for all products. On a device: LibTorch's
// operations on larger blocks.
#include "core/balancing/gram.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/base/clones.h"

namespace polyhead {
namespace {

constexpr std::int64_t kBlock = 512;                          // elements, on the host
constexpr std::int64_t kDeviceBlock = std::int64_t{1} << 18;  // elements, on a device
constexpr std::int64_t kLanes = 8;

// A template cannot be compiled for several instruction sets, so there is a function for each type.
POLYHEAD_CLONES void convert(const float* part, std::int64_t n, double* result) {
  for (std::int64_t i = 0; i < n; ++i) result[i] = static_cast<double>(part[i]);
}
POLYHEAD_CLONES void convert(const double* part, std::int64_t n, double* result) {
  for (std::int64_t i = 0; i < n; ++i) result[i] = part[i];
}
POLYHEAD_CLONES void add_scaled(const float* part, double weight, std::int64_t n, double* sum) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] += weight * static_cast<double>(part[i]);
}
POLYHEAD_CLONES void add_scaled(const double* part, double weight, std::int64_t n, double* sum) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] += weight * part[i];
}

POLYHEAD_CLONES double dot(const double* a, const double* b) {
  double lanes[kLanes] = {};
  for (std::int64_t i = 0; i < kBlock; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

// Four products with one row, which is then loaded once.
POLYHEAD_CLONES void dot_four(const double* a, const double* b, double* results) {
  double lanes[4][kLanes] = {};
  for (std::int64_t i = 0; i < kBlock; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const double value = a[i + lane];
      lanes[0][lane] += value * b[i + lane];
      lanes[1][lane] += value * b[kBlock + i + lane];
      lanes[2][lane] += value * b[2 * kBlock + i + lane];
      lanes[3][lane] += value * b[3 * kBlock + i + lane];
    }
  for (int row = 0; row < 4; ++row) {
    const double* l = lanes[row];
    results[row] = ((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7]));
  }
}

template <class T>
std::vector<std::vector<const T*>> pointers(const std::vector<GradientRow>& rows) {
  std::vector<std::vector<const T*>> result;
  for (const GradientRow& row : rows) {
    result.emplace_back();
    for (const torch::Tensor& part : row) result.back().push_back(part.data_ptr<T>());
  }
  return result;
}

template <class T>
void host_products(const std::vector<GradientRow>& rows, bool diagonal_only, SquareMatrix& gram) {
  const auto parts = pointers<T>(rows);
  const std::int64_t elements = rows[0][0].numel();
  std::vector<double> block(rows.size() * kBlock);
  const auto row = [&](std::size_t i) { return block.data() + i * kBlock; };
  for (std::int64_t first = 0; first < elements; first += kBlock) {
    const std::int64_t n = std::min(kBlock, elements - first);
    if (n < kBlock) std::ranges::fill(block, 0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      convert(parts[i][0] + first, n, row(i));
      for (std::size_t part = 1; part < parts[i].size(); ++part) add_scaled(parts[i][part] + first, 1, n, row(i));
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (diagonal_only) {
        gram(i, i) += dot(row(i), row(i));
        continue;
      }
      std::size_t j = 0;
      for (; j + 4 <= i + 1; j += 4) {
        double products[4];
        dot_four(row(i), row(j), products);
        for (std::size_t k = 0; k < 4; ++k) gram(i, j + k) += products[k];
      }
      for (; j <= i; ++j) gram(i, j) += dot(row(i), row(j));
    }
  }
}

void device_products(const std::vector<GradientRow>& rows, SquareMatrix& gram) {
  const auto size = static_cast<std::int64_t>(rows.size());
  const std::int64_t elements = rows[0][0].numel();
  torch::Tensor sums = torch::zeros({size, size}, rows[0][0].options().dtype(torch::kFloat64));
  for (std::int64_t first = 0; first < elements; first += kDeviceBlock) {
    const std::int64_t n = std::min(kDeviceBlock, elements - first);
    std::vector<torch::Tensor> block;
    for (const GradientRow& row : rows) {
      torch::Tensor sum = row[0].narrow(0, first, n).to(torch::kFloat64);
      for (std::size_t part = 1; part < row.size(); ++part) sum = sum + row[part].narrow(0, first, n);
      block.push_back(std::move(sum));
    }
    const torch::Tensor stacked = torch::stack(block);
    sums.addmm_(stacked, stacked.t());
  }
  const torch::Tensor host = sums.cpu();
  const auto values = host.accessor<double, 2>();
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j <= i; ++j)
      gram(i, j) += values[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(j)];
}

template <class T>
double host_sum(const std::vector<GradientRow>& rows, std::span<const double> weights,
                const std::vector<torch::Tensor>& targets) {
  const auto parts = pointers<T>(rows);
  const std::int64_t elements = targets[0].numel();
  double sum[kBlock], square = 0;
  T rounded[kBlock];
  for (std::int64_t first = 0; first < elements; first += kBlock) {
    const std::int64_t n = std::min(kBlock, elements - first);
    std::fill_n(sum, kBlock, 0);
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (const T* part : parts[i]) add_scaled(part + first, weights[i], n, sum);
    for (std::int64_t i = 0; i < n; ++i) rounded[i] = static_cast<T>(sum[i]);
    for (std::int64_t i = 0; i < n; ++i) sum[i] = static_cast<double>(rounded[i]);
    square += dot(sum, sum);
    for (const torch::Tensor& target : targets) std::copy_n(rounded, n, target.data_ptr<T>() + first);
  }
  return square;
}

double device_sum(const std::vector<GradientRow>& rows, std::span<const double> weights,
                  const std::vector<torch::Tensor>& targets) {
  const std::int64_t elements = targets[0].numel();
  double square = 0;
  for (std::int64_t first = 0; first < elements; first += kDeviceBlock) {
    const std::int64_t n = std::min(kDeviceBlock, elements - first);
    torch::Tensor sum = torch::zeros({n}, targets[0].options().dtype(torch::kFloat64));
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (const torch::Tensor& part : rows[i]) sum.add_(part.narrow(0, first, n).to(torch::kFloat64), weights[i]);
    for (const torch::Tensor& target : targets) target.narrow(0, first, n).copy_(sum);
    square += targets[0].narrow(0, first, n).to(torch::kFloat64).square().sum().item<double>();
  }
  return square;
}

}  // namespace

void add_inner_products(const std::vector<GradientRow>& rows, bool diagonal_only, SquareMatrix& gram) {
  if (rows.empty() || rows[0][0].numel() == 0) return;
  SquareMatrix sums(rows.size());
  if (!rows[0][0].is_cpu())
    device_products(rows, sums);
  else if (rows[0][0].scalar_type() == torch::kFloat64)
    host_products<double>(rows, diagonal_only, sums);
  else
    host_products<float>(rows, diagonal_only, sums);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      if (diagonal_only && i != j) continue;
      gram(i, j) += sums(i, j);
      if (i != j) gram(j, i) += sums(i, j);
    }
}

double weighted_sum(const std::vector<GradientRow>& rows, std::span<const double> weights,
                    const std::vector<torch::Tensor>& targets) {
  if (!targets[0].is_cpu()) return device_sum(rows, weights, targets);
  return targets[0].scalar_type() == torch::kFloat64 ? host_sum<double>(rows, weights, targets)
                                                     : host_sum<float>(rows, weights, targets);
}

}  // namespace polyhead
