// The head of extracted answers: losses and gradients against plain computations, and the best answer by trying all.
#include "core/heads/span.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

// Three questions with contexts, which end with eos (3).
Batch questions() {
  Batch batch;
  batch.offsets = {0};
  TaskSlice slice;
  const std::vector<std::int64_t> lengths = {9, 5, 120}, context = {4, 2, 3}, first = {4, 3, 20}, last = {6, 3, 38};
  std::int64_t token = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    for (std::int64_t row = 0; row + 1 < lengths[i]; ++row)
      batch.tokens.push_back(5 + (token++ * 7) % (kVocabulary - 5));
    batch.tokens.push_back(3);
    batch.offsets.push_back(std::ssize(batch.tokens));
    batch.keys.push_back(i);
    ++slice.sequences;
  }
  batch.second = slice.context_begin = context;
  slice.span_begin = first;
  slice.span_end = last;
  slice.count = slice.sequences;
  batch.slices = {slice};
  return batch;
}

std::unique_ptr<Model> small_span_model(double spread = 0.3, std::uint64_t seed = 5) {
  const SmallOptions small;
  auto model = std::make_unique<Model>(small.encoder, small.attention, kVocabulary, 1,
                                       InputOptions{.feature_widths = {}, .pairs = true});
  model->add_head(0, std::make_unique<SpanHead>(HeadSpec{
                         .task = "questions", .encoder = small.encoder, .options = small.head, .statistics = {}}));
  model->finish(seed, torch::kFloat64);
  const torch::NoGradGuard guard;
  for (const Parameter& parameter : model->head(0).arena().parameters())
    parameter.tensor.add_(random_tensor(parameter.shape, ++seed) * spread);
  return model;
}

// log p of every row of a sequence as the first and as the last token, [rows of the context, 2], by the formulas.
Tensor plain_log_p(const Model& model, const HeadInput& input, std::size_t sequence, std::int64_t context) {
  std::map<std::string, Tensor> p;
  for (const Parameter& parameter : model.head(0).arena().parameters()) p[parameter.name] = parameter.tensor;
  const std::int64_t begin = input.segments.offsets[sequence] + context,
                     rows = input.segments.offsets[sequence + 1] - 1 - begin;  // without eos
  const Tensor states = input.states.narrow(0, begin, rows), weights = input.weights.narrow(1, begin, rows);
  const Tensor values = states.matmul(p.at("value.weight").t()) + p.at("value.bias");
  std::vector<Tensor> read;
  const std::int64_t heads = weights.size(0), width = values.size(1) / heads;
  for (std::int64_t m = 0; m < heads; ++m) read.push_back(values.narrow(1, m * width, width) * weights[m].unsqueeze(1));
  const Tensor scores = (states + torch::cat(read, 1)).matmul(p.at("out.weight").t()) + p.at("out.bias");
  return (scores.exp() / scores.exp().sum(0, true)).log();
}

TEST(Span, LossesAreThoseOfTheFormulas) {
  const torch::NoGradGuard guard;
  const auto model = small_span_model();
  const Batch batch = questions();
  const HeadInput input = model->forward(batch, false).front();
  const TaskSlice& slice = batch.slices.front();
  const Scored scored = model->head(0).score(input, slice);
  ASSERT_EQ(scored.loss.size(), 3U);
  EXPECT_EQ(scored.count, (std::vector<std::int64_t>{1, 1, 1}));
  double sum = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int64_t context = slice.context_begin[i];
    const Tensor log_p = plain_log_p(*model, input, i, context);
    const double loss =
        -(log_p[slice.span_begin[i] - context][0] + log_p[slice.span_end[i] - context][1]).item<double>() / 2;
    EXPECT_NEAR(scored.loss[i], loss, 1e-10) << i;
    sum += loss;
  }
  EXPECT_NEAR(model->head(0).loss(input, slice).item<double>(), sum, 1e-9);
}

TEST(Span, AnAnswerThatWasCutOffIsNotTrainedOn) {
  const torch::NoGradGuard guard;
  const auto model = small_span_model();
  Batch batch = questions();
  const HeadInput input = model->forward(batch, false).front();
  TaskSlice& slice = batch.slices.front();
  const Scored all = model->head(0).score(input, slice);
  slice.span_begin[1] = slice.span_end[1] = kIgnore;
  const Scored scored = model->head(0).score(input, slice);
  EXPECT_EQ(scored.count, (std::vector<std::int64_t>{1, 0, 1}));
  EXPECT_EQ(scored.loss, (std::vector<double>{all.loss[0], 0, all.loss[2]}));
  EXPECT_EQ(scored.predicted, all.predicted);
  EXPECT_NEAR(model->head(0).loss(input, slice).item<double>(), all.loss[0] + all.loss[2], 1e-9);
}

TEST(Span, TheBestAnswerIsFoundAmongAllThatAreShortEnough) {
  const torch::NoGradGuard guard;
  const auto model = small_span_model(3);
  const Batch batch = questions();
  const HeadInput input = model->forward(batch, false).front();
  const Predicted predicted = model->head(0).predict(input);
  ASSERT_EQ(predicted.ids.size(), 3U);
  std::vector<std::int64_t> flat;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int64_t context = batch.second[i];
    const Tensor log_p = plain_log_p(*model, input, i, context);
    double best = 0;
    std::vector<std::int64_t> span;
    for (std::int64_t first = 0; first < log_p.size(0); ++first)
      for (std::int64_t last = first; last < log_p.size(0) && last - first < kLongestAnswer; ++last)
        if (const double p = (log_p[first][0] + log_p[last][1]).exp().item<double>(); p > best) {
          best = p;
          span = {context + first, context + last};
        }
    EXPECT_EQ(predicted.ids[i], span) << i;
    EXPECT_NEAR(predicted.probability[i], best, 1e-10);
    flat.insert(flat.end(), span.begin(), span.end());
  }
  EXPECT_EQ(model->head(0).score(input, batch.slices.front()).predicted, flat);
}

TEST(Span, AnAnswerIsAtMostThirtyTokensLong) {
  const torch::NoGradGuard guard;
  const Batch batch = questions();
  int bounded = 0;  // models whose best pair is longer
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto model = small_span_model(3, seed);
    const HeadInput input = model->forward(batch, false).front();
    const auto span = model->head(0).predict(input).ids[2];
    EXPECT_LE(span[1] - span[0], kLongestAnswer - 1);
    const Tensor log_p = plain_log_p(*model, input, 2, batch.second[2]);
    const Tensor pairs = (log_p.select(1, 0).unsqueeze(1) + log_p.select(1, 1).unsqueeze(0));
    const Tensor distance = torch::arange(log_p.size(0)).unsqueeze(0) - torch::arange(log_p.size(0)).unsqueeze(1);
    const std::int64_t best = pairs.masked_fill(distance.lt(0), -1e9).argmax().item<std::int64_t>();
    bounded += best % log_p.size(0) - best / log_p.size(0) >= kLongestAnswer;
  }
  EXPECT_GT(bounded, 0);
}

TEST(Span, GradientsAreThoseOfDifferences) {
  const auto model = small_span_model();
  const Batch batch = questions();
  const auto loss = [&] {
    const HeadInput input = model->forward(batch, false).front();
    return model->head(0).loss(input, batch.slices.front());
  };
  loss().backward();
  const torch::NoGradGuard guard;
  for (const Parameter& parameter : model->head(0).arena().parameters()) {
    const Tensor gradient = parameter.tensor.grad().flatten().clone();
    const Tensor flat = parameter.tensor.view({-1});
    for (std::int64_t i = 0; i < flat.numel(); i += 5) {
      const double value = flat[i].item<double>(), step = 1e-5;
      flat[i] = value + step;
      const double above = loss().item<double>();
      flat[i] = value - step;
      const double below = loss().item<double>();
      flat[i] = value;
      EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * step), 1e-7) << parameter.name << " " << i;
    }
  }
}

TEST(Span, AStudentOfItselfHasItsOwnLossMixedWithNone) {
  const torch::NoGradGuard guard;
  const auto model = small_span_model();
  const Batch batch = questions();
  const HeadInput input = model->forward(batch, false).front();
  const TaskSlice& slice = batch.slices.front();
  const Distillation teacher{model->head(0).outputs(input, slice), 0.25, 2};
  EXPECT_NEAR(model->head(0).distilled_loss(input, slice, teacher).item<double>(),
              0.75 * model->head(0).loss(input, slice).item<double>(), 1e-9);
}

}  // namespace
}  // namespace polyhead
