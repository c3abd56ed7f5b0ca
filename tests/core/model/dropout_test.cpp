// Dropout: which elements it drops, how often, and that all of its forms have the same mask.
#include "core/model/dropout.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/counter_random.h"
#include "core/model/encoder.h"
#include "tests/core/finite_differences.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

TEST(Dropout, MaskIsThatOfTheSampleWhateverTheRow) {
  const std::vector<std::uint64_t> samples = {11, 22, 33};
  const DropoutKeys together(Segments::from({0, 3, 4, 9}, torch::kCPU), samples, 0, 4, torch::kCPU);
  const DropoutKeys alone(Segments::from({0, 5}, torch::kCPU), {33}, 0, 4, torch::kCPU);
  const DropoutKeys decoder(Segments::from({0, 5}, torch::kCPU), {33}, 1, 4, torch::kCPU);
  const Tensor ones = torch::ones({9, 64}, torch::kFloat64);
  const auto dropped = [&](const DropoutKeys& keys, std::int64_t site, std::int64_t rows) {
    return dropout_add(ones.narrow(0, 0, rows), {}, keys, site, 0.3);
  };
  for (std::int64_t site = 0; site < 4; ++site)
    EXPECT_TRUE(dropped(together, site, 9).narrow(0, 4, 5).equal(dropped(alone, site, 5)));
  // Sites, streams and tokens differ.
  EXPECT_FALSE(dropped(alone, 0, 5).equal(dropped(alone, 1, 5)));
  EXPECT_FALSE(dropped(alone, 0, 5).equal(dropped(decoder, 0, 5)));
  EXPECT_FALSE(dropped(alone, 0, 5)[0].equal(dropped(alone, 0, 5)[1]));
}

TEST(Dropout, SharesMeanAndIndependence) {
  const std::int64_t tokens = 500, channels = 256;
  for (const double p : {0.1, 0.25, 0.5}) {
    const DropoutKeys keys(Segments::from({0, tokens}, torch::kCPU), {7}, 0, 2, torch::kCPU);
    const Tensor out = dropout_add(torch::ones({tokens, channels}, torch::kFloat64), {}, keys, 0, p);
    const Tensor zero = out.eq(0).to(torch::kFloat64);
    const double n = static_cast<double>(out.numel()), deviation = std::sqrt(p * (1 - p) / n);
    EXPECT_NEAR(zero.mean().item<double>(), p, 4 * deviation);
    EXPECT_NEAR(out.mean().item<double>(), 1, 4 * deviation / (1 - p));
    EXPECT_TRUE(torch::logical_or(out.eq(0), (out - 1 / (1 - p)).abs().lt(1e-12)).all().item<bool>());
    // Every channel and every token is dropped about as often, and neighbours are independent.
    EXPECT_LT((zero.mean(0) - p).abs().max().item<double>(), 5 * std::sqrt(p * (1 - p) / static_cast<double>(tokens)));
    EXPECT_LT((zero.mean(1) - p).abs().max().item<double>(),
              5 * std::sqrt(p * (1 - p) / static_cast<double>(channels)));
    const auto correlation = [&](const Tensor& a, const Tensor& b) {
      return ((a - p) * (b - p)).mean().item<double>() / (p * (1 - p));
    };
    EXPECT_LT(std::abs(correlation(zero.narrow(1, 0, channels - 1), zero.narrow(1, 1, channels - 1))),
              4 / std::sqrt(n));
    EXPECT_LT(std::abs(correlation(zero.narrow(0, 0, tokens - 1), zero.narrow(0, 1, tokens - 1))), 4 / std::sqrt(n));
    const Tensor other =
        dropout_add(torch::ones({tokens, channels}, torch::kFloat64), {}, keys, 1, p).eq(0).to(torch::kFloat64);
    EXPECT_LT(std::abs(correlation(zero, other)), 4 / std::sqrt(n));
  }
}

TEST(DropPath, DropsWholeSequencesAsOftenAsAsked) {
  std::vector<std::int64_t> offsets = {0};
  std::vector<std::uint64_t> samples;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    samples.push_back(mix64(i));
    offsets.push_back(offsets.back() + 1 + static_cast<std::int64_t>(i % 3));
  }
  const Segments segments = Segments::from(offsets, torch::kCPU);
  const DropoutKeys keys(segments, samples, 0, 3, torch::kCPU);
  const auto by_sequence = [&](std::int64_t site) {
    const Tensor path = keys.path(site, 0.3, segments, torch::kFloat64);
    EXPECT_EQ(path.sizes(), (std::vector<std::int64_t>{segments.tokens(), 1}));
    EXPECT_TRUE(torch::logical_or(path.eq(0), (path - 1 / 0.7).abs().lt(1e-12)).all().item<bool>());
    const Tensor first = torch::tensor(std::vector<std::int64_t>(offsets.begin(), offsets.end() - 1));
    EXPECT_TRUE(path.index_select(0, first).repeat_interleave(segments.lengths, 0).equal(path));
    return path.index_select(0, first).eq(0).to(torch::kFloat64);
  };
  const Tensor one = by_sequence(1), two = by_sequence(2);
  const double deviation = std::sqrt(0.3 * 0.7 / 4000);
  EXPECT_NEAR(one.mean().item<double>(), 0.3, 4 * deviation);
  EXPECT_LT(std::abs(((one - 0.3) * (two - 0.3)).mean().item<double>()), 4 * 0.3 * 0.7 / std::sqrt(4000.0));
  // Nor does it go with the dropout of the first token.
  const Tensor dropped = dropout_mask(keys.site(1), 1, 0.3, torch::kFloat64)
                             .index_select(0, segments.lengths.cumsum(0) - segments.lengths)
                             .squeeze(1)
                             .eq(0)
                             .to(torch::kFloat64);
  EXPECT_LT(std::abs(((one.squeeze(1) - 0.3) * (dropped - 0.3)).mean().item<double>()),
            4 * 0.3 * 0.7 / std::sqrt(4000.0));
  EXPECT_FALSE(keys.path(1, 0, segments, torch::kFloat64).defined());
  EXPECT_FALSE(DropoutKeys().path(1, 0.3, segments, torch::kFloat64).defined());
}

TEST(DropPath, ABlockWhoseBranchesAreDroppedPassesTheSequenceOn) {
  const Segments segments = Segments::from({0, 6}, torch::kCPU);
  const EncoderOptions two{.layers = 2, .dim = 16, .heads = 2, .ffn = 24, .dropout = 0, .drop_path = 0.5};
  EncoderOptions one = two;
  one.layers = 1;
  one.drop_path = 0;
  Encoder deep(two, {}, 23, 3), shallow(one, {}, 23, 3);
  deep.arena().finish("encoder", 1, torch::kFloat64);
  shallow.arena().finish("encoder", 1, torch::kFloat64);
  const torch::NoGradGuard guard;
  for (const Parameter& to : shallow.arena().parameters())
    for (const Parameter& from : deep.arena().parameters())
      if (from.name == to.name) to.tensor.copy_(from.tensor);
  Encoder::Input input;
  input.tokens = torch::arange(6);
  int dropped = 0;
  for (std::uint64_t sample = 0; sample < 20; ++sample) {
    const DropoutKeys keys(segments, {sample}, 0, deep.dropout_sites(), torch::kCPU);
    const auto kept = [&](std::int64_t site) {
      return keys.path(site, 0.5, segments, torch::kFloat64)[0].item<double>() > 0;
    };
    const bool same = deep.forward(input, segments, keys).states.equal(shallow.forward(input, segments, keys).states);
    EXPECT_EQ(same, !kept(3) && !kept(4));  // the first block is always there
    dropped += same;
  }
  EXPECT_GT(dropped, 0);
  EXPECT_LT(dropped, 20);
}

TEST(Dropout, TensorFormHasTheSameMaskAndBackwardUsesIt) {
  const DropoutKeys keys(Segments::from({0, 40, 41, 90}, torch::kCPU), {1, 2, 3}, 0, 1, torch::kCPU);
  for (const auto dtype : {torch::kFloat32, torch::kFloat64})
    for (const double p : {0.1, 0.37}) {
      const Tensor x = random_tensor({90, 77}, 1).to(dtype).requires_grad_(),
                   residual = random_tensor({90, 77}, 2).to(dtype).requires_grad_();
      const Tensor mask = dropout_mask(keys.site(0), 77, p, dtype);
      const Tensor out = dropout_add(x, residual, keys, 0, p);
      EXPECT_TRUE((out - residual).eq(0).equal(mask.eq(0)));
      EXPECT_LT(relative_difference(out.detach(), (residual + x * mask).detach()), 1e-6);
      const Tensor direction = random_tensor({90, 77}, 3).to(dtype);
      (out * direction).sum().backward();
      EXPECT_TRUE(residual.grad().equal(direction));
      EXPECT_TRUE(x.grad().eq(0).equal(mask.eq(0)));
      EXPECT_LT(relative_difference(x.grad(), direction * mask), 1e-6);
    }
}

TEST(Dropout, OffWithoutKeysOrShare) {
  const Tensor x = random_tensor({3, 4}, 1), residual = random_tensor({3, 4}, 2);
  const DropoutKeys keys(Segments::from({0, 3}, torch::kCPU), {1}, 0, 1, torch::kCPU);
  EXPECT_TRUE(dropout_add(x, residual, DropoutKeys(), 0, 0.5).equal(x + residual));
  EXPECT_TRUE(dropout_add(x, residual, keys, 0, 0).equal(x + residual));
  EXPECT_TRUE(dropout_add(x, {}, DropoutKeys(), 0, 0.5).equal(x));
}

TEST(Dropout, GradientsEqualFiniteDifferences) {
  const Segments segments = Segments::from({0, 4, 5, 9}, torch::kCPU);
  const Tensor x = random_tensor({9, 8}, 1).requires_grad_(), other = random_tensor({9, 8}, 2).requires_grad_(),
               direction = random_tensor({9, 8}, 5);
  const DropoutKeys keys(segments, {3, 4, 5}, 0, 1, torch::kCPU);
  expect_finite_differences([&] { return (dropout_add(x, other, keys.site(0), 0.3) * direction).sum(); }, {x, other},
                            1e-6);
}

}  // namespace
}  // namespace polyhead
