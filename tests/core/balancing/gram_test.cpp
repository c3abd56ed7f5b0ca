// Inner products and weighted sums of rows, against LibTorch's matrix product in double.
#include "core/balancing/gram.h"

#include <gtest/gtest.h>

#include <cmath>

namespace polyhead {
namespace {

// Rows of one to three parts; the length is no multiple of a block.
std::vector<GradientRow> random_rows(std::size_t count, std::int64_t elements, torch::ScalarType type) {
  torch::manual_seed(7);
  std::vector<GradientRow> rows(count);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t part = 0; part <= i % 3; ++part)
      rows[i].push_back(torch::randn({elements}, torch::kFloat64).to(type) * std::pow(10.0, i % 4));
  return rows;
}

torch::Tensor matrix_of(const std::vector<GradientRow>& rows) {
  std::vector<torch::Tensor> sums;
  for (const GradientRow& row : rows) {
    sums.push_back(row[0].to(torch::kFloat64));
    for (std::size_t part = 1; part < row.size(); ++part) sums.back() = sums.back() + row[part].to(torch::kFloat64);
  }
  return torch::stack(sums);
}

TEST(Gram, ProductsAndSumsAreThoseOfTheMatrix) {
  for (const auto type : {torch::kFloat32, torch::kFloat64})
    for (const std::size_t count : {1, 2, 3, 4, 5, 9, 17})
      for (const std::int64_t elements : {1, 511, 512, 1300}) {
        const std::vector<GradientRow> rows = random_rows(count, elements, type);
        const torch::Tensor matrix = matrix_of(rows), expected = matrix.mm(matrix.t());
        SquareMatrix gram(count), diagonal(count);
        add_inner_products(rows, false, gram);
        add_inner_products(rows, false, gram);  // adds
        add_inner_products(rows, true, diagonal);
        std::vector<double> weights;
        for (std::size_t i = 0; i < count; ++i) weights.push_back(0.5 - static_cast<double>(i));
        for (std::size_t i = 0; i < count; ++i)
          for (std::size_t j = 0; j < count; ++j) {
            const auto [row, column] = std::pair(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j));
            const double right = expected[row][column].item<double>();
            const double scale = std::sqrt(expected[row][row].item<double>() * expected[column][column].item<double>());
            EXPECT_NEAR(gram(i, j), 2 * right, 1e-13 * scale) << count << " " << elements;
            EXPECT_NEAR(diagonal(i, j), i == j ? right : 0, 1e-13 * scale);
          }
        const std::vector<torch::Tensor> targets = {torch::empty({elements}, type), torch::empty({elements}, type)};
        const double square = weighted_sum(rows, weights, targets);
        const torch::Tensor sum = torch::tensor(weights, torch::kFloat64).matmul(matrix);
        EXPECT_TRUE(at::allclose(targets[0].to(torch::kFloat64), sum, type == torch::kFloat32 ? 1e-6 : 1e-12, 1e-9));
        EXPECT_TRUE(targets[0].equal(targets[1]));
        EXPECT_NEAR(square, targets[0].to(torch::kFloat64).square().sum().item<double>(), 1e-12 * square);
      }
}

TEST(Gram, NearlyOrthogonalRowsKeepTheSignOfTheirProduct) {
  // In float32, the products of the first halves cancel to about 1e-7 of their size, and hide the rest.
  const std::int64_t half = 1 << 16;
  const torch::Tensor ones = torch::ones({half}), small = torch::full({half}, -1e-5);
  const torch::Tensor first = torch::cat({ones, ones, small}), second = torch::cat({ones, -ones, -small});
  SquareMatrix gram(2);
  add_inner_products({{first}, {second}}, false, gram);
  EXPECT_LT(gram(0, 1), 0);
  EXPECT_NEAR(gram(0, 1), -1e-10 * half, 1e-14 * half);
}

TEST(Gram, NoRowsAndNoElements) {
  const torch::Tensor target = torch::ones({3});
  EXPECT_EQ(weighted_sum({}, {}, {target}), 0);
  EXPECT_TRUE(target.equal(torch::zeros({3})));
  SquareMatrix gram(1);
  add_inner_products({{torch::empty({0})}}, false, gram);
  EXPECT_EQ(gram(0, 0), 0);
}

TEST(Gram, WhatIsNotFiniteStaysSo) {
  SquareMatrix gram(2);
  add_inner_products({{torch::tensor({1.0, std::nan("")})}, {torch::tensor({1.0, 2.0})}}, false, gram);
  EXPECT_TRUE(std::isnan(gram(0, 1)));
  EXPECT_EQ(gram(1, 1), 5);
}

}  // namespace
}  // namespace polyhead
