// Distilled losses against their formula in LibTorch's own operations, and equal results for a part of a batch alone.
#include <gtest/gtest.h>

#include "tests/core/expect_error.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

constexpr double kShare = 0.3, kTemperature = 1.7;

// D from what both heads say: logits, or values in their own unit.
Tensor distance(const HeadSpec& spec, const Tensor& student, const Tensor& teacher, double t) {
  if (spec.kind == Kind::regression) {
    const Tensor error = ((student - teacher) / to_device(spec.statistics.deviation, student)).abs();
    const double delta = spec.options.delta;
    const Tensor huber = torch::where(error <= delta, error.square() / 2, delta * (error - delta / 2));
    return (spec.options.loss == RegressionLoss::huber ? huber : error.square()).sum() / spec.outputs;
  }
  if (spec.kind == Kind::multilabel) {
    const Tensor p = 1 / (1 + (-teacher / t).exp()), q = 1 / (1 + (-student / t).exp());
    return t * t * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum();
  }
  const auto softmax = [&](const Tensor& logits) { return (logits / t).exp() / (logits / t).exp().sum(1, true); };
  const Tensor p = softmax(teacher), q = softmax(student);
  return t * t * (p * (p / q).log()).sum();
}

struct Gradients {
  explicit Gradients(const Model& model) : model(model) {}
  // Of the encoder and of all heads, one after another.
  Tensor of(const Tensor& loss) const {
    std::vector<Tensor> all = {model.encoder().arena().gradients()};
    for (const auto& [task, head] : model.heads()) all.push_back(head->arena().gradients());
    for (const Tensor& gradient : all) gradient.zero_();
    loss.backward({}, /*retain_graph=*/true);
    return torch::cat(all);
  }
  const Model& model;
};

TEST(Distillation, LossAndEveryGradientFollowTheFormula) {
  const auto student = small_model({}, 1), teacher = small_model({}, 2);
  const Batch batch = small_batch(3);
  const auto inputs = student->forward(batch, true), shown = teacher->forward(batch, false);
  const Gradients gradients(*student);
  for (std::size_t task = 0; task < kTasks; ++task) {
    const TaskSlice& slice = batch.slices[task];
    const Head& head = student->head(task);
    const Tensor outputs = teacher->head(task).outputs(shown[task], slice).detach();
    ASSERT_EQ(outputs.size(0), slice.count) << "task " << task;
    const Tensor d = distance(head.spec(), head.outputs(inputs[task], slice), outputs, kTemperature);
    ASSERT_GT(d.item<double>(), 0.01) << "task " << task;
    for (const double share : {kShare, 1.0}) {
      const Tensor expected = (1 - share) * head.loss(inputs[task], slice) + share * d;
      const Tensor found = head.distilled_loss(inputs[task], slice, {outputs, share, kTemperature});
      EXPECT_NEAR(found.item<double>(), expected.item<double>(), 1e-12 * expected.item<double>()) << "task " << task;
      EXPECT_LT(relative_difference(gradients.of(found), gradients.of(expected)), 1e-11) << "task " << task;
    }
    // A teacher of another type, as of a run in float32.
    const Tensor rounded = head.distilled_loss(inputs[task], slice, {outputs.to(torch::kFloat32), 1, kTemperature});
    EXPECT_EQ(rounded.scalar_type(), torch::kFloat64);
    EXPECT_NEAR(rounded.item<double>(), d.item<double>(), 1e-4 * d.item<double>()) << "task " << task;
  }
}

TEST(Distillation, ATeacherWithoutAShareChangesNoBit) {
  const auto student = small_model({}, 1), teacher = small_model({}, 2);
  const Batch batch = small_batch(3);
  const auto inputs = student->forward(batch, true), shown = teacher->forward(batch, false);
  const Gradients gradients(*student);
  for (std::size_t task = 0; task < kTasks; ++task) {
    const Head& head = student->head(task);
    const Tensor outputs = teacher->head(task).outputs(shown[task], batch.slices[task]).detach();
    const Tensor plain = head.loss(inputs[task], batch.slices[task]);
    const Tensor found = head.distilled_loss(inputs[task], batch.slices[task], {outputs, 0, kTemperature});
    EXPECT_TRUE(found.equal(plain)) << "task " << task;
    EXPECT_TRUE(gradients.of(found).equal(gradients.of(plain))) << "task " << task;
  }
}

TEST(Distillation, OwnWeightsHaveNothingToTeach) {
  const auto model = small_model({}, 1);
  const Batch batch = small_batch(3);
  const auto inputs = model->forward(batch, false);
  const Gradients gradients(*model);
  for (std::size_t task = 0; task < kTasks; ++task) {
    const Head& head = model->head(task);
    const Tensor outputs = head.outputs(inputs[task], batch.slices[task]).detach();
    const Tensor found = head.distilled_loss(inputs[task], batch.slices[task], {outputs, 1, kTemperature});
    EXPECT_NEAR(found.item<double>(), 0, 1e-13) << "task " << task;
    EXPECT_LT(gradients.of(found).abs().max().item<double>(), 1e-13) << "task " << task;
    EXPECT_GT(gradients.of(head.loss(inputs[task], batch.slices[task])).abs().max().item<double>(), 1e-3);
  }
}

TEST(Distillation, ARegressionTeacherHasItsOwnUnit) {
  // Other means and deviations of its train split: the same outputs are other values.
  const SmallOptions options;
  const auto student = small_model(options, 1);
  HeadSpec spec = small_spec(6, options);
  spec.statistics.mean = {2, -10};
  spec.statistics.deviation = {1.5, 3};
  const auto other = make_head(spec);
  other->arena().finish("head", 1, torch::kFloat64);
  const torch::NoGradGuard guard;
  const Head& head = student->head(6);
  other->arena().values().copy_(head.arena().values());
  const Batch batch = small_batch(3);
  const HeadInput input = student->forward(batch, false)[6];
  const Tensor same = head.outputs(input, batch.slices[6]), values = other->outputs(input, batch.slices[6]);
  const auto vector = [&](const std::vector<double>& of) { return to_device(of, same); };
  const Tensor standard = (same - vector({3, -20})) / vector({0.5, 7});
  EXPECT_LT(relative_difference(values, standard * vector({1.5, 3}) + vector({2, -10})), 1e-13);
  EXPECT_EQ(to_host_double(values), other->predict(input).values);
}

TEST(Distillation, WithoutValidTargetsThereIsNothingToFollow) {
  const auto model = small_model({}, 3);
  Batch batch = small_batch(3);
  batch.slices[1].tags.assign(batch.slices[1].tags.size(), kIgnore);
  batch.slices[2].masked_rows.clear();
  batch.slices[2].masked_tokens.clear();
  const auto inputs = model->forward(batch, true);
  const Gradients gradients(*model);
  for (const std::size_t task : {1U, 2U}) {
    const Head& head = model->head(task);
    const Tensor outputs = head.outputs(inputs[task], batch.slices[task]).detach();
    const Tensor found = head.distilled_loss(inputs[task], batch.slices[task], {outputs, kShare, kTemperature});
    EXPECT_EQ(found.item<double>(), 0);
    EXPECT_EQ(gradients.of(found).abs().max().item<double>(), 0);
  }
}

TEST(Distillation, AKindWithoutItSaysSo) {
  struct Plain : Head {
    using Head::Head;
    Tensor loss(const HeadInput&, const TaskSlice&) const override { return {}; }
    Scored score(const HeadInput&, const TaskSlice&) const override { return {}; }
    Predicted predict(const HeadInput&) const override { return {}; }
  };
  const Plain head(HeadSpec{.task = "news", .encoder = {}, .options = {}, .statistics = {}});
  expect_error([&] { head.outputs({}, {}); }, Exit::config,
               {"task news", "classification", "cannot be distilled", "leave out task.news.teacher"});
  expect_error([&] { head.distilled_loss({}, {}, {}); }, Exit::config, {"task news", "cannot be distilled"});
}

TEST(Batch, APartIsPackedAnew) {
  const Batch batch = small_batch(4);
  const std::vector<std::size_t> which = {7, 2, 5, 3};
  const Batch part = slices_of(batch, which), expected = reordered(batch, which);
  EXPECT_EQ(part.tokens, expected.tokens);
  EXPECT_EQ(part.offsets, expected.offsets);
  EXPECT_EQ(part.keys, expected.keys);
  EXPECT_EQ(part.second, expected.second);
  ASSERT_EQ(part.slices.size(), which.size());
  for (std::size_t i = 0; i < which.size(); ++i) {
    const TaskSlice &a = part.slices[i], &b = expected.slices[i];
    EXPECT_EQ(a.task, which[i]);
    EXPECT_EQ(std::tuple(a.first_sequence, a.sequences, a.first_token, a.count),
              std::tuple(b.first_sequence, b.sequences, b.first_token, batch.slices[which[i]].count));
    EXPECT_EQ(a.masked_rows, b.masked_rows);
    EXPECT_EQ(a.features, b.features);
    EXPECT_EQ(a.target_tokens, b.target_tokens);
  }
  Batch texts = batch;
  texts.second.clear();
  EXPECT_EQ(slices_of(texts, {5}).second, (std::vector<std::int64_t>(3)));
  EXPECT_TRUE(slices_of(batch, {}).slices.empty());
}

}  // namespace
}  // namespace polyhead
