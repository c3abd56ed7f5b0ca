// A whole small model against a simple computation of the same losses, written from the formulas, one sequence at a
// time, in LibTorch's own operations. The contribution of a sample must not depend on its batch.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>

#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

// Copies of a model's parameters by name, and the plain forward pass over them.
struct Plain {
  SmallOptions options;
  mutable int small_errors = 0, large_errors = 0;  // of regression, on either side of Huber's delta
  std::map<std::string, Tensor> encoder, heads[kTasks];

  Plain(const SmallOptions& small, const Model& model) : options(small) {
    const auto copy = [](const Arena& arena, std::map<std::string, Tensor>& to) {
      for (const Parameter& parameter : arena.parameters())
        to[parameter.name] = parameter.tensor.detach().clone().requires_grad_();
    };
    copy(model.encoder().arena(), encoder);
    for (const auto& [task, head] : model.heads()) copy(head->arena(), heads[task]);
  }

  using Names = std::map<std::string, Tensor>;

  static Tensor linear(const Names& p, const std::string& name, const Tensor& x) {
    return x.matmul(p.at(name + ".weight").t()) + p.at(name + ".bias");
  }
  static Tensor norm(const Names& p, const std::string& name, const Tensor& x) {
    const Tensor centred = x - x.mean(-1, true);
    return centred / (centred.square().mean(-1, true) + 1e-5).sqrt() * p.at(name + ".weight") + p.at(name + ".bias");
  }
  static Tensor gelu(const Tensor& x) { return 0.5 * x * (1 + torch::erf(x / std::sqrt(2.0))); }

  // x: [length, width]
  static Tensor turn(const Tensor& x) {
    const std::int64_t half = x.size(1) / 2;
    std::vector<Tensor> rows;
    for (std::int64_t i = 0; i < x.size(0); ++i) {
      std::vector<Tensor> row(static_cast<std::size_t>(2 * half));
      for (std::int64_t c = 0; c < half; ++c) {
        const double angle =
            static_cast<double>(i) * std::pow(10000.0, -static_cast<double>(c) / static_cast<double>(half));
        row[static_cast<std::size_t>(c)] = x[i][c] * std::cos(angle) - x[i][c + half] * std::sin(angle);
        row[static_cast<std::size_t>(c + half)] = x[i][c + half] * std::cos(angle) + x[i][c] * std::sin(angle);
      }
      rows.push_back(torch::stack(row));
    }
    return torch::stack(rows);
  }

  // [queries, width] x [keys, width]
  static Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias, bool causal) {
    Tensor scores = q.matmul(k.t()) / std::sqrt(static_cast<double>(q.size(1)));
    if (bias.defined()) scores = scores + bias;
    Tensor e = scores.exp();
    if (causal) e = e.tril();
    return (e / e.sum(1, true)).matmul(v);
  }

  Tensor self_attention(const Names& p, const std::string& name, const Tensor& x, bool causal) const {
    const std::int64_t dim = options.encoder.dim, width = dim / options.encoder.heads;
    const Tensor qkv = linear(p, name + ".qkv", norm(p, name + ".norm", x));
    std::vector<Tensor> read;
    for (std::int64_t h = 0; h < options.encoder.heads; ++h) {
      const auto part = [&](std::int64_t which) { return qkv.narrow(1, which * dim + h * width, width); };
      read.push_back(attend(turn(part(0)), turn(part(1)), part(2), {}, causal));
    }
    return x + linear(p, name + ".out", torch::cat(read, 1));
  }
  static Tensor feed_forward(const Names& p, const std::string& name, const Tensor& x) {
    return x + linear(p, name + ".down", gelu(linear(p, name + ".up", norm(p, name + ".norm", x))));
  }

  // A batch of one sample: [length, dim]
  Tensor encode(const Batch& batch) const {
    const TaskSlice& slice = batch.slices.front();
    Tensor x;
    if (slice.feature_width > 0)
      x = linear(encoder, "features." + std::to_string(slice.feature_width),
                 torch::tensor(slice.features, torch::kFloat64).view({-1, slice.feature_width}));
    else
      x = encoder.at("embedding.weight").index_select(0, torch::tensor(batch.tokens)) *
          std::sqrt(static_cast<double>(options.encoder.dim));
    const std::int64_t second = batch.second.front();
    if (second > 0)
      x = torch::cat({x.narrow(0, 0, second) + encoder.at("segment.weight")[0],
                      x.narrow(0, second, x.size(0) - second) + encoder.at("segment.weight")[1]});
    for (std::int64_t i = 0; i < options.encoder.layers; ++i) {
      x = self_attention(encoder, "layers." + std::to_string(i) + ".attention", x, false);
      x = feed_forward(encoder, "layers." + std::to_string(i) + ".ffn", x);
    }
    return norm(encoder, "norm", x);
  }

  // w_it of attention head m, for task t: [length]
  Tensor weights(const Tensor& states, std::int64_t m, std::size_t task) const {
    const AttentionMode mode = options.attention.mode;
    const std::int64_t width = options.encoder.dim / options.attention.heads, length = states.size(0);
    if (mode == AttentionMode::mean) return torch::ones({length}, torch::kFloat64);
    if (mode == AttentionMode::first) {
      Tensor first = torch::zeros({length}, torch::kFloat64);
      first[0].fill_(1);
      return first;
    }
    const Tensor keys = states.matmul(encoder.at("tasks.key.weight").narrow(0, m * width, width).t());
    const Tensor scores = keys.matmul(encoder.at("tasks.queries").select(1, m).t()) /
                          (options.attention.temperature * std::sqrt(static_cast<double>(width)));
    const double floor = options.attention.floor;
    if (mode == AttentionMode::independent) {
      const Tensor e = scores.select(1, task).exp();
      return (1 - floor) * static_cast<double>(length) * e / e.sum() + floor;
    }
    Tensor logits = torch::zeros({static_cast<std::int64_t>(kTasks) + 1}, torch::kFloat64);
    for (std::size_t t = 0; t < options.attention.importances.size(); ++t)
      logits[static_cast<std::int64_t>(t) + 1].fill_(std::log(options.attention.importances[t]));
    if (options.attention.importance == Importance::learned) logits = logits + encoder.at("tasks.importance");
    const Tensor e = (scores + logits).exp();
    return ((1 - floor) * e / e.sum(1, true) + floor / static_cast<double>(scores.size(1))).select(1, task + 1);
  }
  double delta() const { return options.attention.mode == AttentionMode::competitive ? 1 : 0; }

  // w_it V_t h_i, heads side by side: [length, dim]
  Tensor weighted(std::size_t task, const Tensor& states) const {
    const std::int64_t width = options.encoder.dim / options.attention.heads;
    const Tensor values = linear(heads[task], "value", states);
    std::vector<Tensor> parts;
    for (std::int64_t m = 0; m < options.attention.heads; ++m)
      parts.push_back(weights(states, m, task).unsqueeze(1) * values.narrow(1, m * width, width));
    return torch::cat(parts, 1);
  }

  // The sum of the rows' smoothed negative log-likelihoods.
  static Tensor loss(const Tensor& logits, const std::vector<std::int64_t>& targets, double smoothing) {
    Tensor sum = torch::zeros({}, torch::kFloat64);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const Tensor row = logits[static_cast<std::int64_t>(i)];
      const Tensor log_p = row - row.exp().sum().log();
      sum = sum - (1 - smoothing) * log_p[targets[i]] - smoothing * log_p.mean();
    }
    return sum;
  }

  // r_t through the layers of a head with one output vector a text: [outputs]
  Tensor pooled(std::size_t task, const Tensor& states) const {
    const std::int64_t width = options.encoder.dim / options.attention.heads;
    const Tensor sum = weighted(task, states).sum(0);
    std::vector<Tensor> read;
    for (std::int64_t m = 0; m < options.attention.heads; ++m)
      read.push_back(sum.narrow(0, m * width, width) / (delta() + weights(states, m, task).sum()));
    return linear(heads[task], "out", gelu(linear(heads[task], "hidden", torch::cat(read).unsqueeze(0))))[0];
  }

  // The loss sum of a batch of one sample.
  Tensor sample_loss(const Batch& batch) const {
    const TaskSlice& slice = batch.slices.front();
    const std::size_t task = slice.task;
    const Names& p = heads[task];
    const Tensor states = encode(batch), table = encoder.at("embedding.weight");
    const HeadSpec spec = small_spec(task, options);
    if (spec.kind == Kind::classification) {
      const Tensor logits = pooled(task, states), own = logits.exp()[slice.labels[0]] / logits.exp().sum();
      const Tensor plain = loss(logits.unsqueeze(0), slice.labels, options.head.label_smoothing);
      return task == 0 ? plain
                       : spec.statistics.class_weights[static_cast<std::size_t>(slice.labels[0])] *
                             (1 - own).pow(spec.options.focal_gamma) * plain;
    }
    if (spec.kind == Kind::multilabel) {
      const Tensor logits = pooled(task, states);
      Tensor sum = torch::zeros({}, torch::kFloat64);
      for (std::int64_t c = 0; c < kLabels; ++c) {
        const Tensor one = 1 / (1 + (-logits[c]).exp());
        sum = sum - (slice.labels[static_cast<std::size_t>(c)] == 1 ? one : 1 - one).log();
      }
      return sum;
    }
    if (spec.kind == Kind::regression) {
      const Tensor output = pooled(task, states);
      Tensor sum = torch::zeros({}, torch::kFloat64);
      for (std::size_t k = 0; k < kOutputs; ++k) {
        const Tensor error = output[static_cast<std::int64_t>(k)] -
                             (slice.values[k] - spec.statistics.mean[k]) / spec.statistics.deviation[k];
        const double delta = spec.options.delta, size = std::abs(error.item<double>());
        ++(size <= delta ? small_errors : large_errors);
        sum = sum + (task == 6       ? error.square()
                     : size <= delta ? 0.5 * error.square()
                                     : delta * (error.abs() - 0.5 * delta));
      }
      return sum / static_cast<double>(kOutputs);
    }
    if (spec.kind == Kind::tagging) {
      const Tensor logits = linear(p, "out", states + weighted(task, states));
      Tensor sum = torch::zeros({}, torch::kFloat64);
      for (std::size_t i = 0; i < slice.tags.size(); ++i)
        if (slice.tags[i] != kIgnore)
          sum = sum + loss(logits.narrow(0, static_cast<std::int64_t>(i), 1), {slice.tags[i]}, 0);
      return sum;
    }
    if (task == 2) {
      Tensor sum = torch::zeros({}, torch::kFloat64);
      const Tensor hidden = norm(p, "norm", gelu(linear(p, "transform", states + weighted(2, states))));
      for (std::size_t i = 0; i < slice.masked_rows.size(); ++i)
        sum = sum + loss((hidden[slice.masked_rows[i]].matmul(table.t()) + p.at("bias")).unsqueeze(0),
                         {slice.masked_tokens[i]}, 0);
      return sum;
    }
    const std::int64_t dim = options.encoder.dim, width = dim / options.encoder.heads;
    std::vector<std::int64_t> read_tokens = {2};
    read_tokens.insert(read_tokens.end(), slice.target_tokens.begin(), slice.target_tokens.end() - 1);
    const Tensor memory = torch::cat({states, p.at("no_word")});
    Tensor mean = torch::zeros({states.size(0)}, torch::kFloat64);
    for (std::int64_t m = 0; m < options.attention.heads; ++m)
      mean = mean + weights(states, m, 3) / static_cast<double>(options.attention.heads);
    const Tensor bias = torch::cat({mean.clamp_min(1e-30).log(), torch::zeros({1}, torch::kFloat64)});
    Tensor x = table.index_select(0, torch::tensor(read_tokens));
    for (std::int64_t i = 0; i < options.head.decoder_layers; ++i) {
      const std::string name = "layers." + std::to_string(i);
      x = self_attention(p, name + ".self", x, true);
      const Tensor q = linear(p, name + ".cross.query", norm(p, name + ".cross.norm", x)),
                   kv = linear(p, name + ".cross.key_value", memory);
      std::vector<Tensor> read;
      for (std::int64_t h = 0; h < options.encoder.heads; ++h)
        read.push_back(attend(turn(q.narrow(1, h * width, width)), turn(kv.narrow(1, h * width, width)),
                              kv.narrow(1, dim + h * width, width), bias, false));
      x = x + linear(p, name + ".cross.out", torch::cat(read, 1));
      x = feed_forward(p, name + ".ffn", x);
    }
    return loss(norm(p, "norm", x).matmul(table.t()) + p.at("bias"), slice.target_tokens, options.head.label_smoothing);
  }
};

// The weights w_t of the total loss; they differ, so that a gradient given to the wrong task shows.
constexpr double kWeights[kTasks] = {0.4, 0.1, 0.3, 0.2, 0.35, 0.15, 0.25, 0.45, 0.12};

// Σ w_t L_t by one packed pass, with its backward; the tasks' mean losses.
std::vector<double> packed_pass(Model& model, const Batch& batch, bool training) {
  const auto inputs = model.forward(batch, training);
  std::vector<double> losses(kTasks);
  Tensor total = torch::zeros({}, torch::kFloat64);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TaskSlice& slice = batch.slices[i];
    const Tensor loss = model.head(slice.task).loss(inputs[i], slice) / static_cast<double>(slice.count);
    losses[slice.task] = loss.item<double>();
    total = total + kWeights[slice.task] * loss;
  }
  total.backward();
  return losses;
}

void expect_equal_gradients(const Arena& arena, const std::map<std::string, Tensor>& expected, double tolerance) {
  ASSERT_EQ(arena.parameters().size(), expected.size());
  for (const Parameter& parameter : arena.parameters()) {
    const Tensor gradient = expected.at(parameter.name).grad();
    ASSERT_TRUE(gradient.defined()) << parameter.name;
    // Nothing passes by being zero.
    EXPECT_GT(gradient.abs().max().item<double>(), 1e-7) << parameter.name;
    EXPECT_LT(relative_difference(parameter.tensor.grad(), gradient), tolerance) << parameter.name;
  }
}

TEST(Gradients, OfAWholeModelEqualPlainLibTorch) {
  const std::vector<AttentionOptions> attentions = {
      SmallOptions().attention,
      {.heads = 1},
      {.heads = 4, .importances = {1, 0.3, 2, 1, 0.5, 4, 1, 1, 3}},
      {.heads = 2, .importance = Importance::fixed, .importances = {1, 0.3, 2, 1, 0.5, 4, 1, 1, 3}},
      {.mode = AttentionMode::independent, .heads = 2, .temperature = 0.7, .floor = 0.1},
      {.mode = AttentionMode::mean, .heads = 2},
      {.mode = AttentionMode::first},
  };
  for (std::size_t seed = 1; seed <= attentions.size(); ++seed) {
    SmallOptions options;
    options.attention = attentions[seed - 1];
    if (seed == 2) options.head.label_smoothing = 0;
    const auto model = small_model(options, seed);
    const Batch batch = small_batch(seed);
    const auto losses = packed_pass(*model, batch, true);  // with keys, but dropout is 0

    const Plain plain(options, *model);
    Tensor total = torch::zeros({}, torch::kFloat64);
    for (std::size_t task = 0; task < kTasks; ++task) {
      const TaskSlice& slice = batch.slices[task];
      Tensor loss = torch::zeros({}, torch::kFloat64);
      for (std::int64_t i = 0; i < slice.sequences; ++i) loss = loss + plain.sample_loss(only(batch, task, i));
      loss = loss / static_cast<double>(slice.count);
      EXPECT_NEAR(losses[task], loss.item<double>(), 1e-11 * loss.item<double>()) << "task " << task;
      total = total + kWeights[task] * loss;
    }
    total.backward();
    SCOPED_TRACE(seed);
    EXPECT_GT(plain.small_errors, 0);
    EXPECT_GT(plain.large_errors, 0);
    expect_equal_gradients(model->encoder().arena(), plain.encoder, 1e-9);
    for (const auto& [task, head] : model->heads()) {
      SCOPED_TRACE(task);
      expect_equal_gradients(head->arena(), plain.heads[task], 1e-9);
    }
  }
}

SmallOptions with_dropout(Sharing share = Sharing::hard) {
  SmallOptions options;
  options.encoder.share = share;
  options.encoder.adapter_dim = 5;
  options.encoder.expert_layers = 2;  // of two: with the shared path of ple
  options.encoder.dropout = 0.2;
  options.encoder.attention_dropout = 0.25;
  options.encoder.drop_path = 0.4;
  options.encoder.lora_dropout = 0.15;
  options.head.dropout = 0.3;
  return options;
}

std::vector<Tensor> gradients_of(Model& model) {
  std::vector<Tensor> out = {model.encoder().arena().gradients().clone()};
  for (const auto& [task, head] : model.heads()) out.push_back(head->arena().gradients().clone());
  return out;
}

void zero_gradients(Model& model) {
  model.encoder().arena().gradients().zero_();
  for (const auto& [task, head] : model.heads()) head->arena().gradients().zero_();
}

void expect_independence_of_the_batch(const SmallOptions& options) {
  const auto model = small_model(options, 4);
  const Batch batch = small_batch(4);
  const auto together = packed_pass(*model, batch, true);
  const auto packed = gradients_of(*model);
  model->encoder().arena().check_gradients();

  zero_gradients(*model);
  std::vector<double> alone(kTasks);
  for (std::size_t task = 0; task < kTasks; ++task)
    for (std::int64_t i = 0; i < batch.slices[task].sequences; ++i) {
      const Batch one = only(batch, task, i);
      const Tensor loss = model->head(task).loss(model->forward(one, true).front(), one.slices.front()) /
                          static_cast<double>(batch.slices[task].count);
      alone[task] += loss.item<double>();
      (kWeights[task] * loss).backward();
    }
  const auto summed = gradients_of(*model);
  for (std::size_t task = 0; task < kTasks; ++task)
    EXPECT_NEAR(alone[task], together[task], 1e-12 * together[task]) << "task " << task;
  for (std::size_t owner = 0; owner < packed.size(); ++owner)
    EXPECT_LT(relative_difference(summed[owner], packed[owner]), 1e-12) << "owner " << owner;

  // Dropout did something.
  zero_gradients(*model);
  const auto without = packed_pass(*model, batch, false);
  for (std::size_t task = 0; task < kTasks; ++task)
    EXPECT_GT(std::abs(without[task] - together[task]), 1e-4) << "task " << task;
}

// Form of the encoder, mode of task attention, form of sharing.
class GradientsIn : public ::testing::TestWithParam<std::tuple<EncoderForm, AttentionMode, Sharing>> {
 protected:
  static SmallOptions options() {
    const auto& [form, mode, share] = GetParam();
    SmallOptions options = with_dropout(share);
    options.encoder.form = form;
    options.attention.mode = mode;
    return options;
  }
};
using In = std::tuple<EncoderForm, AttentionMode, Sharing>;
INSTANTIATE_TEST_SUITE_P(All, GradientsIn,
                         ::testing::Values(In{EncoderForm::pre_norm, AttentionMode::competitive, Sharing::hard},
                                           In{EncoderForm::pre_norm, AttentionMode::independent, Sharing::hard},
                                           In{EncoderForm::pre_norm, AttentionMode::mean, Sharing::hard},
                                           In{EncoderForm::pre_norm, AttentionMode::first, Sharing::hard},
                                           In{EncoderForm::bert, AttentionMode::competitive, Sharing::hard},
                                           In{EncoderForm::bert, AttentionMode::mean, Sharing::hard},
                                           In{EncoderForm::pre_norm, AttentionMode::competitive, Sharing::adapters},
                                           In{EncoderForm::pre_norm, AttentionMode::competitive, Sharing::mtan},
                                           In{EncoderForm::pre_norm, AttentionMode::competitive, Sharing::mmoe},
                                           In{EncoderForm::pre_norm, AttentionMode::competitive, Sharing::ple},
                                           In{EncoderForm::bert, AttentionMode::competitive, Sharing::mtan},
                                           In{EncoderForm::bert, AttentionMode::competitive, Sharing::ple},
                                           In{EncoderForm::bert, AttentionMode::competitive, Sharing::lora},
                                           In{EncoderForm::pre_norm, AttentionMode::competitive, Sharing::task_lora}));

TEST_P(GradientsIn, OfASampleDoNotDependOnItsBatch) {
  expect_independence_of_the_batch(options());
}

TEST_P(GradientsIn, ActivationCheckpointingGivesTheSameBits) {
  SmallOptions options = GradientsIn::options();
  const Batch batch = small_batch(6);
  const auto kept = small_model(options, 6);
  options.encoder.activation_checkpointing = true;
  const auto again = small_model(options, 6);
  EXPECT_EQ(packed_pass(*again, batch, true), packed_pass(*kept, batch, true));
  const auto expected = gradients_of(*kept), found = gradients_of(*again);
  for (std::size_t owner = 0; owner < found.size(); ++owner)
    EXPECT_TRUE(found[owner].equal(expected[owner])) << "owner " << owner;
  again->encoder().arena().check_gradients();
  EXPECT_GT(expected[0].abs().max().item<double>(), 1e-3);
}

TEST_P(GradientsIn, TheOrderOfSlicesDoesNotMatter) {
  const auto model = small_model(options(), 5);
  const Batch batch = small_batch(5);
  const auto losses = packed_pass(*model, batch, true);
  const auto gradients = gradients_of(*model);
  for (const std::vector<std::size_t>& order :
       {std::vector<std::size_t>{8, 7, 6, 5, 4, 3, 2, 1, 0}, {2, 5, 8, 0, 3, 7, 1, 4, 6}}) {
    zero_gradients(*model);
    const Batch other = reordered(batch, order);
    Batch counted = other;
    for (std::size_t i = 0; i < order.size(); ++i) counted.slices[i].count = batch.slices[order[i]].count;
    const auto again = packed_pass(*model, counted, true);
    for (std::size_t task = 0; task < kTasks; ++task)
      EXPECT_NEAR(again[task], losses[task], 1e-12 * losses[task]) << "task " << task;
    const auto found = gradients_of(*model);
    for (std::size_t owner = 0; owner < found.size(); ++owner)
      EXPECT_LT(relative_difference(found[owner], gradients[owner]), 1e-12) << "owner " << owner;
  }
}

}  // namespace
}  // namespace polyhead
