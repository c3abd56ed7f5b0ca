// On the host: blocks that fit into the caches are converted to double once, and products are computed for tiles of
// rows, so that each value that is loaded serves several products. On a device: LibTorch's operations on larger blocks.
#include "core/balancing/gram.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/base/clones.h"

namespace polyhead {
namespace {

constexpr std::int64_t kBlock = 512;                          // elements, on the host
constexpr std::int64_t kDeviceBlock = std::int64_t{1} << 18;  // elements, on a device

// Four doubles that the compiler computes with together, in one register where the processor has such registers. A
// pointer to them may point to any doubles.
constexpr std::size_t kLanes = 4;
typedef double Lanes __attribute__((vector_size(kLanes * sizeof(double)), aligned(alignof(double)), may_alias));

inline __attribute__((always_inline)) const Lanes& lanes_at(const double* values) {
  return *reinterpret_cast<const Lanes*>(values);
}
inline __attribute__((always_inline)) double sum_of(const Lanes& lanes) {
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

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

// The products of `kRows` consecutive rows of blocks from `a` on with `kColumns` rows from `b` on: [kRows, kColumns].
template <std::size_t kRows, std::size_t kColumns>
inline __attribute__((always_inline)) void tile(const double* a, const double* b, double* products) {
  Lanes sums[kRows][kColumns] = {};
  for (std::size_t i = 0; i < kBlock; i += kLanes) {
    Lanes row[kRows];
    for (std::size_t r = 0; r < kRows; ++r) row[r] = lanes_at(a + r * kBlock + i);
    for (std::size_t c = 0; c < kColumns; ++c) {
      const Lanes column = lanes_at(b + c * kBlock + i);
      for (std::size_t r = 0; r < kRows; ++r) sums[r][c] += row[r] * column;
    }
  }
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t c = 0; c < kColumns; ++c) products[r * kColumns + c] = sum_of(sums[r][c]);
}
// The squared norm of a row of a block.
POLYHEAD_CLONES double square_of(const double* a) {
  Lanes sums[4] = {};  // one sum would wait for each addition
  for (std::size_t i = 0; i < kBlock; i += 4 * kLanes)
    for (std::size_t k = 0; k < 4; ++k) sums[k] += lanes_at(a + i + k * kLanes) * lanes_at(a + i + k * kLanes);
  return sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
}
POLYHEAD_CLONES void products_of_two_and_four(const double* a, const double* b, double* products) {
  tile<2, 4>(a, b, products);
}
POLYHEAD_CLONES void products_of_two_and_two(const double* a, const double* b, double* products) {
  tile<2, 2>(a, b, products);
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
  std::vector<double> block((rows.size() + 3) / 4 * 4 * kBlock);  // rows of zeros complete the last tiles
  const auto row = [&](std::size_t i) { return block.data() + i * kBlock; };
  for (std::int64_t first = 0; first < elements; first += kBlock) {
    const std::int64_t n = std::min(kBlock, elements - first);
    if (n < kBlock) std::ranges::fill(block, 0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      convert(parts[i][0] + first, n, row(i));
      for (std::size_t part = 1; part < parts[i].size(); ++part) add_scaled(parts[i][part] + first, 1, n, row(i));
    }
    if (diagonal_only) {
      for (std::size_t i = 0; i < rows.size(); ++i) gram(i, i) += square_of(row(i));
      continue;
    }
    for (std::size_t i = 0; i < rows.size(); i += 2)
      for (std::size_t j = 0; j <= i; j += 4) {
        const std::size_t columns = j == i ? 2 : 4;  // the other two of a tile at the diagonal are not needed
        double products[8];
        (columns == 2 ? products_of_two_and_two : products_of_two_and_four)(row(i), row(j), products);
        for (std::size_t r = i; r < std::min(i + 2, rows.size()); ++r)
          for (std::size_t c = j; c <= std::min(r, j + columns - 1); ++c)
            gram(r, c) += products[(r - i) * columns + c - j];
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
  double sum[kBlock], squares = 0;
  T rounded[kBlock];
  for (std::int64_t first = 0; first < elements; first += kBlock) {
    const std::int64_t n = std::min(kBlock, elements - first);
    std::fill_n(sum, kBlock, 0);
    for (std::size_t i = 0; i < rows.size(); ++i)
      for (const T* part : parts[i]) add_scaled(part + first, weights[i], n, sum);
    for (std::int64_t i = 0; i < n; ++i) rounded[i] = static_cast<T>(sum[i]);
    for (std::int64_t i = 0; i < n; ++i) sum[i] = static_cast<double>(rounded[i]);
    squares += square_of(sum);
    for (const torch::Tensor& target : targets) std::copy_n(rounded, n, target.data_ptr<T>() + first);
  }
  return squares;
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
