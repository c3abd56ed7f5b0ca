// The operations on packed rows against plain LibTorch, one sequence at a time.
#include "core/model/operations.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/base/counter_random.h"
#include "core/heads/head.h"
#include "core/model/activation_checkpointing.h"
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

// Central differences of f along a random direction of each leaf, against the gradients that backward left there.
void expect_finite_differences(const std::function<Tensor()>& loss, const std::vector<Tensor>& leaves,
                               double tolerance) {
  for (const Tensor& leaf : leaves) leaf.mutable_grad() = Tensor();
  loss().backward();
  const torch::NoGradGuard guard;
  const double h = 1e-5;
  for (std::size_t n = 0; n < leaves.size(); ++n) {
    const Tensor step = random_tensor(leaves[n].sizes().vec(), 100 + n) * h;
    leaves[n].add_(step);
    const double above = loss().item<double>();
    leaves[n].sub_(2 * step);
    const double below = loss().item<double>();
    leaves[n].add_(step);
    const double expected = 2 * (leaves[n].grad() * step).sum().item<double>();
    EXPECT_NEAR(above - below, expected, tolerance * std::abs(expected) + 1e-13) << "leaf " << n;
  }
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

TEST(Rotate, EqualsTheFormulaAndItsGradient) {
  const std::int64_t tokens = 7, heads = 3, head = 8, half = head / 2;
  const Segments segments = Segments::from({0, 4, 5, 7}, torch::kCPU);
  const Rotary rotary = Rotary::at(segments.positions, head, torch::kFloat64);
  // A strided view, as of a joint projection.
  const Tensor wide = random_tensor({tokens, 2, heads, head}, 1).requires_grad_();
  const Tensor out = rotate(wide.select(1, 1), rotary);
  const Tensor direction = random_tensor({tokens, heads, head}, 2);
  (out * direction).sum().backward();
  const std::int64_t positions[] = {0, 1, 2, 3, 0, 0, 1};
  const Tensor in = wide.detach(), result = out.detach();
  const Tensor& gradient = wide.grad();
  const auto x = in.accessor<double, 4>();
  const auto y = result.accessor<double, 3>(), g = direction.accessor<double, 3>();
  const auto dx = gradient.accessor<double, 4>();
  for (std::int64_t i = 0; i < tokens; ++i)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t c = 0; c < half; ++c) {
        const double angle = static_cast<double>(positions[i]) /
                             std::pow(10000.0, 2.0 * static_cast<double>(c) / static_cast<double>(head));
        const double co = std::cos(angle), si = std::sin(angle), a = x[i][1][h][c], b = x[i][1][h][c + half];
        EXPECT_NEAR(y[i][h][c], a * co - b * si, 1e-14);
        EXPECT_NEAR(y[i][h][c + half], b * co + a * si, 1e-14);
        EXPECT_NEAR(dx[i][1][h][c], g[i][h][c] * co + g[i][h][c + half] * si, 1e-14);
        EXPECT_NEAR(dx[i][1][h][c + half], g[i][h][c + half] * co - g[i][h][c] * si, 1e-14);
        EXPECT_EQ(dx[i][0][h][c], 0);
      }
}

TEST(Rotate, ScoresDependOnTheDistanceOnly) {
  const auto turned = [](std::int64_t position, std::uint64_t seed) {
    return rotate(random_tensor({1, 1, 8}, seed), Rotary::at(torch::tensor({position}), 8, torch::kFloat64));
  };
  const double near = (turned(3, 1) * turned(5, 2)).sum().item<double>(),
               far = (turned(40, 1) * turned(42, 2)).sum().item<double>();
  EXPECT_NEAR(near, far, 1e-13);
  EXPECT_GT(std::abs(near - (turned(3, 1) * turned(6, 2)).sum().item<double>()), 1e-3);
}

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

TEST(Segments, LengthsPositionsAndSums) {
  const Segments segments = Segments::from({0, 3, 3, 4, 8}, torch::kCPU);
  EXPECT_EQ(segments.sequences(), 4);
  EXPECT_EQ(segments.tokens(), 8);
  EXPECT_TRUE(segments.lengths.equal(torch::tensor({3, 0, 1, 4}, torch::kInt64)));
  EXPECT_TRUE(segments.positions.equal(torch::tensor({0, 1, 2, 0, 0, 1, 2, 3}, torch::kInt64)));
  const Tensor x = random_tensor({8, 5}, 1).requires_grad_(), direction = random_tensor({4, 5}, 2);
  const Tensor sums = segment_sum(x, segments);
  (sums * direction).sum().backward();
  for (std::int64_t s = 0; s < 4; ++s) {
    const auto begin = segments.offsets[static_cast<std::size_t>(s)],
               end = segments.offsets[static_cast<std::size_t>(s) + 1];
    EXPECT_TRUE(sums[s].allclose(x.slice(0, begin, end).sum(0), 1e-14, 1e-14));
    for (auto row = begin; row < end; ++row) EXPECT_TRUE(x.grad()[row].equal(direction[s]));
  }
}

TEST(Segments, SoftmaxOverTheRowsOfEachEqualsLibTorch) {
  const Segments segments = Segments::from({0, 3, 3, 4, 8}, torch::kCPU);
  EXPECT_TRUE(segments.sequence_of_rows().equal(torch::tensor({0, 0, 0, 2, 3, 3, 3, 3}, torch::kInt64)));
  const Tensor x = (random_tensor({8, 5}, 1) * 300).requires_grad_(), direction = random_tensor({8, 5}, 2);
  const Tensor plain = x.detach().clone().requires_grad_();
  const Tensor found = segment_softmax(x / 100, segments), large = segment_softmax(x.detach() * 100, segments);
  const Tensor expected = torch::cat({at::softmax(plain.slice(0, 0, 3) / 100, 0), at::softmax(plain.slice(0, 3, 4), 0),
                                      at::softmax(plain.slice(0, 4, 8) / 100, 0)});
  EXPECT_LT(relative_difference(found, expected), 1e-14);
  EXPECT_TRUE(large.isfinite().all().item<bool>());
  (found * direction).sum().backward();
  (expected * direction).sum().backward();
  EXPECT_LT(relative_difference(x.grad(), plain.grad()), 1e-13);

  // The hand-written backward by finite differences.
  const torch::NoGradGuard guard;
  const double h = 1e-4;
  const Tensor step = random_tensor({8, 5}, 3) * h;
  const auto loss = [&](const Tensor& at) {
    return (segment_softmax(at / 100, segments) * direction).sum().item<double>();
  };
  EXPECT_NEAR(loss(x + step) - loss(x - step), 2 * (x.grad() * step).sum().item<double>(), 1e-12);
}

TEST(TiedCrossEntropy, EqualsLibTorchLossAndGradients) {
  for (const double smoothing : {0.0, 0.1, 0.6}) {
    std::vector<std::vector<Tensor>> found;
    for (const bool tied : {true, false}) {
      const Tensor hidden = (random_tensor({9, 6}, 1) * 3).requires_grad_(),
                   table = (random_tensor({17, 6}, 2) * 2).requires_grad_(),
                   bias = random_tensor({17}, 3).requires_grad_();
      const Tensor targets = torch::tensor({0, 16, 3, 3, 5, 9, 1, 0, 8}, torch::kInt64);
      const Tensor loss = tied ? tied_cross_entropy(hidden, table, bias, targets, smoothing)
                               : at::cross_entropy_loss(at::linear(hidden, table, bias), targets, {},
                                                        at::Reduction::None, -100, smoothing);
      (loss * random_tensor({9}, 4)).sum().backward();
      found.push_back({loss.detach(), hidden.grad(), table.grad(), bias.grad()});
    }
    for (std::size_t i = 0; i < 4; ++i)
      EXPECT_LT(relative_difference(found[0][i], found[1][i]), 1e-12) << "tensor " << i << ", smoothing " << smoothing;
  }
}

TEST(TiedCrossEntropy, LargeLogitsDoNotOverflow) {
  const Tensor hidden = torch::full({1, 1}, 1000, torch::kFloat32).requires_grad_();
  const Tensor table = torch::tensor({{1.0F}, {-1.0F}}), bias = torch::zeros({2});
  const Tensor loss = tied_cross_entropy(hidden, table, bias, torch::tensor({1}, torch::kInt64), 0);
  EXPECT_NEAR(loss.item<double>(), 2000, 1e-2);
  loss.sum().backward();
  EXPECT_NEAR(hidden.grad().item<double>(), 2, 1e-6);
}

TEST(TiedCrossEntropy, NoRowsGiveNoGradient) {
  const Tensor hidden = torch::zeros({0, 6}, torch::kFloat64).requires_grad_(),
               table = random_tensor({17, 6}, 2).requires_grad_();
  tied_cross_entropy(hidden, table, random_tensor({17}, 3), torch::zeros({0}, torch::kInt64), 0).sum().backward();
  EXPECT_EQ(table.grad().abs().max().item<double>(), 0);
}

// The operations whose own tests compare with formulas and plain LibTorch, as all of them.
TEST(Operations, GradientsEqualFiniteDifferences) {
  const Segments segments = Segments::from({0, 4, 5, 9}, torch::kCPU);
  const Tensor x = random_tensor({9, 8}, 1).requires_grad_(), other = random_tensor({9, 8}, 2).requires_grad_(),
               table = random_tensor({17, 8}, 3).requires_grad_(), bias = random_tensor({17}, 4).requires_grad_(),
               direction = random_tensor({9, 8}, 5);
  const DropoutKeys keys(segments, {3, 4, 5}, 0, 1, torch::kCPU);
  const Rotary rotary = Rotary::at(segments.positions, 4, torch::kFloat64);
  const Tensor targets = torch::tensor({0, 16, 3, 3, 5, 9, 1, 0, 8}, torch::kInt64);
  const auto turned = [&](const Tensor& states) { return rotate(states.view({9, 2, 4}), rotary).reshape({9, 8}); };
  expect_finite_differences([&] { return (dropout_add(x, other, keys.site(0), 0.3) * direction).sum(); }, {x, other},
                            1e-6);
  expect_finite_differences([&] { return (turned(x) * direction).sum(); }, {x}, 1e-6);
  expect_finite_differences(
      [&] {
        return (checkpointed([&](const Tensor& states) { return turned(states).tanh() * other; }, x) * direction).sum();
      },
      {x, other}, 1e-6);
  for (const double smoothing : {0.0, 0.1})
    expect_finite_differences(
        [&] { return (tied_cross_entropy(x, table, bias, targets, smoothing) * direction.select(1, 0)).sum(); },
        {x, table, bias}, 1e-6);
}

}  // namespace
}  // namespace polyhead
