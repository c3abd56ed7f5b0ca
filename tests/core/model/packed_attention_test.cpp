// Attention of packed rows against plain LibTorch, one sequence at a time, and the dropout of its weights.
#include "core/model/packed_attention.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/counter_random.h"
#include "tests/core/finite_differences.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

// softmax(q k^T / sqrt(head) + bias) v of every sequence by itself. Its dropout masks one attention head at a time, as
// so many rows of channels that begin 2^20 a head further on.
Tensor plain_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias, const Segments& queries,
                       const Segments& keys, bool causal, const AttentionDropout& dropout) {
  std::vector<Tensor> parts;
  for (std::size_t i = 0; i + 1 < queries.offsets.size(); ++i) {
    const auto rows = [&](const Tensor& x, const Segments& s) {
      return x.slice(0, s.offsets[i], s.offsets[i + 1]).transpose(0, 1);
    };
    const Tensor one_q = rows(q, queries), one_k = rows(k, keys), one_v = rows(v, keys);
    Tensor scores = torch::matmul(one_q, one_k.transpose(1, 2)) / std::sqrt(static_cast<double>(q.size(2)));
    if (bias.defined()) scores = scores + bias.slice(0, keys.offsets[i], keys.offsets[i + 1]);
    if (causal)
      scores = torch::where(torch::ones_like(scores).tril() > 0, scores, torch::full({}, -1e300, scores.options()));
    Tensor weights = torch::softmax(scores, -1);
    if (dropout.p > 0) {
      const Tensor rows_of_mask = dropout.keys.slice(0, queries.offsets[i], queries.offsets[i + 1]);
      std::vector<Tensor> mask;
      for (std::int64_t head = 0; head < q.size(1); ++head)
        mask.push_back(
            dropout_mask(rows_of_mask + head * (0x9e3779b9LL << 20), one_k.size(1), dropout.p, q.scalar_type()));
      weights = weights * torch::stack(mask);
    }
    parts.push_back(torch::matmul(weights, one_v).transpose(0, 1));
  }
  return torch::cat(parts);
}

struct AttentionCase {
  const char* name;
  std::vector<std::int64_t> queries, keys;
  bool bias, causal;
};

const AttentionCase kCases[] = {
    {"ragged", {0, 5, 6, 9, 16}, {0, 5, 6, 9, 16}, false, false},
    {"ragged with bias", {0, 5, 6, 9, 16}, {0, 5, 6, 9, 16}, true, false},
    {"causal", {0, 5, 6, 9, 16}, {0, 5, 6, 9, 16}, false, true},
    {"causal with bias", {0, 5, 6, 9, 16}, {0, 5, 6, 9, 16}, true, true},
    {"other keys", {0, 3, 4, 9}, {0, 2, 10, 14}, true, false},
    {"a sequence without queries", {0, 3, 3, 7}, {0, 2, 6, 9}, true, false},
    {"the last sequence without queries", {0, 3, 3}, {0, 2, 6}, false, false},
};

using Attention = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Segments&,
                             const Segments&, bool, const AttentionDropout&);

const double kAttentionDropout[] = {0, 0.4};

DropoutKeys keys_of(const Segments& segments, std::uint64_t seed = 5) {
  std::vector<std::uint64_t> samples;
  for (std::int64_t i = 0; i < segments.sequences(); ++i)
    samples.push_back(mix64(seed + static_cast<std::uint64_t>(i)));
  return {segments, samples, 0, 2, torch::kCPU};
}

// The output and the gradients of q, k, v and bias. The rows of q, k and v are strided, as a projection of all three
// gives them.
std::vector<Tensor> attend(Attention attention, const AttentionCase& c, double dropout) {
  const std::int64_t heads = 2, width = 6;
  const Segments queries = Segments::from(c.queries, torch::kCPU), keys = Segments::from(c.keys, torch::kCPU);
  Tensor q = (random_tensor({queries.tokens(), 3, heads, width}, 1) * 2).requires_grad_();
  Tensor kv = (random_tensor({keys.tokens(), 2, heads, width}, 2) * 2).requires_grad_();
  Tensor bias = c.bias ? random_tensor({keys.tokens()}, 3).requires_grad_() : Tensor();
  const Tensor out = attention(q.select(1, 1), kv.select(1, 0), kv.select(1, 1), bias, queries, keys, c.causal,
                               keys_of(queries).attention(1, dropout));
  (out * random_tensor(out.sizes().vec(), 4)).sum().backward();
  std::vector<Tensor> found = {out.detach(), q.grad(), kv.grad()};
  if (c.bias) found.push_back(bias.grad());
  return found;
}

// Fresh memory holds NaN while one of these lives: what an operation forgets to write shows.
struct NanMemory {
  NanMemory() { at::globalContext().setDeterministicAlgorithms(true, true); }
  ~NanMemory() { at::globalContext().setDeterministicAlgorithms(false, false); }
};

void expect_plain_attention(Attention attention) {
  for (const AttentionCase& c : kCases)
    for (const double dropout : kAttentionDropout) {
      const auto expected = attend(plain_attention, c, dropout), found = attend(attention, c, dropout);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i)
        EXPECT_LT(relative_difference(found[i], expected[i]), 1e-12)
            << c.name << ", dropout " << dropout << ", tensor " << i;
    }
}

TEST(PackedAttention, EqualsPlainAttentionPerSequence) {
  const NanMemory memory;
  ASSERT_TRUE(torch::empty({3}, torch::kFloat64).isnan().all().item<bool>());
  expect_plain_attention(packed_attention);
}

TEST(PackedAttention, ThePaddedFormEqualsIt) {
  expect_plain_attention(padded_attention);
}

TEST(PackedAttention, GradientsEqualFiniteDifferences) {
  for (const AttentionCase& c : kCases) {
    const Segments queries = Segments::from(c.queries, torch::kCPU), keys = Segments::from(c.keys, torch::kCPU);
    std::vector<Tensor> leaves = {random_tensor({queries.tokens(), 2, 4}, 1), random_tensor({keys.tokens(), 2, 4}, 2),
                                  random_tensor({keys.tokens(), 2, 4}, 3)};
    if (c.bias) leaves.push_back(random_tensor({keys.tokens()}, 5));
    for (Tensor& leaf : leaves) leaf.requires_grad_();
    const Tensor direction = random_tensor({queries.tokens(), 2, 4}, 4);
    for (const double dropout : kAttentionDropout) {
      SCOPED_TRACE(c.name);
      SCOPED_TRACE(dropout);
      expect_finite_differences(
          [&] {
            return (packed_attention(leaves[0], leaves[1], leaves[2], c.bias ? leaves[3] : Tensor(), queries, keys,
                                     c.causal, keys_of(queries).attention(0, dropout)) *
                    direction)
                .sum();
          },
          leaves, 1e-6);
    }
  }
}

// The mask of attention's dropout, of one sequence or of the last of several: [queries, heads, keys]. All scores are
// equal, and the values tell one key from another.
Tensor attention_mask(const Segments& queries, const Segments& keys, std::int64_t heads,
                      const AttentionDropout& dropout) {
  const std::int64_t length = keys.tokens() - keys.offsets[keys.offsets.size() - 2],
                     first = queries.offsets[queries.offsets.size() - 2];
  const Tensor values = torch::zeros({keys.tokens(), heads, length}, torch::kFloat64);
  values.narrow(0, keys.tokens() - length, length).copy_(torch::eye(length, torch::kFloat64).unsqueeze(1));
  const Tensor out = packed_attention(torch::zeros({queries.tokens(), heads, length}, torch::kFloat64),
                                      torch::zeros({keys.tokens(), heads, length}, torch::kFloat64), values, {},
                                      queries, keys, false, dropout);
  return out.slice(0, first) * length;
}

TEST(AttentionDropout, MaskIsThatOfTheSampleWhateverThePacking) {
  const Segments queries = Segments::from({0, 3, 4, 9}, torch::kCPU),
                 keys = Segments::from({0, 7, 19, 31}, torch::kCPU), own = Segments::from({0, 5}, torch::kCPU),
                 own_keys = Segments::from({0, 12}, torch::kCPU);
  const DropoutKeys together(queries, {11, 22, 33}, 1, 3, torch::kCPU), alone(own, {33}, 1, 3, torch::kCPU),
      another(own, {34}, 1, 3, torch::kCPU), stream(own, {33}, 0, 3, torch::kCPU);
  const auto of = [&](const DropoutKeys& from, std::int64_t site) {
    return attention_mask(own, own_keys, 2, from.attention(site, 0.3));
  };
  for (std::int64_t site = 0; site < 3; ++site)
    EXPECT_TRUE(attention_mask(queries, keys, 2, together.attention(site, 0.3)).equal(of(alone, site)));
  EXPECT_FALSE(of(alone, 0).equal(of(alone, 1)));
  EXPECT_FALSE(of(alone, 0).equal(of(another, 0)));
  EXPECT_FALSE(of(alone, 0).equal(of(stream, 0)));
  EXPECT_FALSE(of(alone, 0)[0].equal(of(alone, 0)[1]));                      // queries
  EXPECT_FALSE(of(alone, 0).select(1, 0).equal(of(alone, 0).select(1, 1)));  // heads
}

TEST(AttentionDropout, KeepsTheMeanAndDropsIndependently) {
  const std::int64_t rows = 200, heads = 4, columns = 150;
  const Segments queries = Segments::from({0, rows}, torch::kCPU), keys = Segments::from({0, columns}, torch::kCPU);
  const double p = 0.3, n = static_cast<double>(rows * heads * columns);
  const Tensor mask = attention_mask(queries, keys, heads, keys_of(queries).attention(0, p));
  EXPECT_TRUE(torch::logical_or(mask.eq(0), (mask - 1 / (1 - p)).abs().lt(1e-12)).all().item<bool>());
  EXPECT_NEAR(mask.mean().item<double>(), 1, 4 * std::sqrt(p / (1 - p) / n));
  const Tensor dropped = mask.eq(0).to(torch::kFloat64) - p;
  for (std::int64_t dimension = 0; dimension < 3; ++dimension) {
    const std::int64_t size = mask.size(dimension);
    const double correlation =
        (dropped.narrow(dimension, 0, size - 1) * dropped.narrow(dimension, 1, size - 1)).mean().item<double>() /
        (p * (1 - p));
    EXPECT_LT(std::abs(correlation), 4 / std::sqrt(n * 0.75)) << "dimension " << dimension;
  }
}

TEST(AttentionDropout, OffWithoutKeysOrShareGivesTheSameBits) {
  const Segments segments = Segments::from({0, 3}, torch::kCPU);
  EXPECT_FALSE(DropoutKeys().attention(0, 0.5).keys.defined());
  EXPECT_FALSE(keys_of(segments).attention(0, 0).keys.defined());
  const Tensor x = random_tensor({3, 2, 4}, 1);
  for (const Attention attention : {packed_attention, padded_attention})
    EXPECT_TRUE(attention(x, x, x, {}, segments, segments, false, keys_of(segments).attention(0, 0))
                    .equal(attention(x, x, x, {}, segments, segments, false, {})));
}

}  // namespace
}  // namespace polyhead
