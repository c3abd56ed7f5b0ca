// Properties of every head: scores agree with losses and predictions with scores; slices without targets; errors of
// options.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/heads/tagging.h"
#include "core/model/device.h"
#include "tests/core/expect_error.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

SmallOptions without_smoothing() {
  SmallOptions options;
  options.head.label_smoothing = 0;
  return options;
}

TEST(Heads, ScoresAreTheLossesOfTheSequences) {
  const torch::NoGradGuard guard;
  const auto model = small_model(without_smoothing(), 1);
  const Batch batch = small_batch(1);
  const auto inputs = model->forward(batch, false);
  for (std::size_t task = 0; task < kTasks; ++task) {
    const TaskSlice& slice = batch.slices[task];
    const Head& head = model->head(task);
    const Scored scored = head.score(inputs[task], slice);
    if (task == 5) continue;  // scores are without weights and focus
    ASSERT_EQ(scored.loss.size(), static_cast<std::size_t>(slice.sequences));
    ASSERT_EQ(scored.count.size(), scored.loss.size());
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < slice.sequences; ++i) {
      const Batch one = only(batch, task, i);
      const double loss = head.loss(model->forward(one, false).front(), one.slices.front()).item<double>();
      EXPECT_NEAR(scored.loss[static_cast<std::size_t>(i)], loss, 1e-11 * loss + 1e-300)
          << "task " << task << ", sequence " << i;
      count += scored.count[static_cast<std::size_t>(i)];
    }
    EXPECT_EQ(count, slice.count) << "task " << task;
  }
}

TEST(Heads, ScoresAreWithoutSmoothing) {
  const torch::NoGradGuard guard;
  const auto plain = small_model(without_smoothing(), 1), smoothed = small_model({}, 1);
  const Batch batch = small_batch(1);
  for (const std::size_t task : {0U, 3U, 5U}) {
    const auto score = [&](const Model& model) {
      return model.head(task).score(model.forward(batch, false)[task], batch.slices[task]).loss;
    };
    const auto loss = [&](const Model& model) {
      return model.head(task).loss(model.forward(batch, false)[task], batch.slices[task]).item<double>();
    };
    EXPECT_EQ(score(*plain), score(*smoothed));
    EXPECT_GT(std::abs(loss(*plain) - loss(*smoothed)), 1e-3);
  }
}

TEST(Heads, PredictionsAreTheBestOfTheScores) {
  const torch::NoGradGuard guard;
  const auto model = small_model({}, 2);
  const Batch batch = small_batch(2);
  const auto inputs = model->forward(batch, false);
  const auto flat = [&](std::size_t task) {
    std::vector<std::int64_t> ids;
    const Predicted predicted = model->head(task).predict(inputs[task]);
    EXPECT_EQ(predicted.ids.size(), static_cast<std::size_t>(batch.slices[task].sequences));
    for (const auto& sequence : predicted.ids) ids.insert(ids.end(), sequence.begin(), sequence.end());
    return ids;
  };
  for (const std::size_t task : {0U, 1U, 2U})
    EXPECT_EQ(flat(task), model->head(task).score(inputs[task], batch.slices[task]).predicted) << "task " << task;
  // Classification tells the label's probability: exp(-loss) were it the target.
  const Predicted predicted = model->head(0).predict(inputs[0]);
  TaskSlice slice = batch.slices[0];
  for (std::size_t i = 0; i < slice.labels.size(); ++i) slice.labels[i] = predicted.ids[i].front();
  const Scored scored = model->head(0).score(inputs[0], slice);
  for (std::size_t i = 0; i < slice.labels.size(); ++i) {
    EXPECT_NEAR(predicted.probability[i], std::exp(-scored.loss[i]), 1e-12);
    EXPECT_GE(predicted.probability[i], 1.0 / kClasses);
  }
}

TEST(Heads, MultilabelTellsTheLabelsFromOneHalfOn) {
  const torch::NoGradGuard guard;
  const auto model = small_model({}, 2);
  const Batch batch = only(small_batch(2), 4);
  const HeadInput input = model->forward(batch, false).front();
  const Predicted predicted = model->head(4).predict(input);
  const Scored scored = model->head(4).score(input, batch.slices.front());
  ASSERT_EQ(predicted.values.size(), 2U * kLabels);
  EXPECT_EQ(predicted.values, scored.values);
  std::size_t told = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    double loss = 0;
    std::vector<std::int64_t> labels;
    for (std::size_t c = 0; c < kLabels; ++c) {
      const double p = predicted.values[i * kLabels + c];
      if (p >= 0.5) labels.push_back(static_cast<std::int64_t>(c));
      loss -= std::log(batch.slices.front().labels[i * kLabels + c] == 1 ? p : 1 - p);
    }
    EXPECT_EQ(predicted.ids[i], labels);
    EXPECT_NEAR(scored.loss[i], loss, 1e-12);
    told += labels.size();
  }
  EXPECT_GT(told, 0U);
  EXPECT_LT(told, 2U * kLabels);
}

TEST(Heads, RegressionTellsValuesInTheTargetsUnit) {
  const torch::NoGradGuard guard;
  const auto model = small_model({}, 2);
  const Batch batch = only(small_batch(2), 6);
  const HeadInput input = model->forward(batch, false).front();
  const Predicted predicted = model->head(6).predict(input);
  ASSERT_EQ(predicted.values.size(), 2U * kOutputs);
  TaskSlice slice = batch.slices.front();
  slice.values = predicted.values;  // what it tells is what costs nothing
  EXPECT_NEAR(model->head(6).loss(input, slice).item<double>(), 0, 1e-20);
  // One deviation off in one of two outputs: half a squared error.
  slice.values[1] += 7;
  EXPECT_NEAR(model->head(6).score(input, slice).loss[0], 0.5, 1e-12);
  EXPECT_NEAR(model->head(6).score(input, slice).loss[1], 0, 1e-20);
}

TEST(Heads, FocusIsFiniteWhereTheModelIsSure) {
  // (1 - p)^gamma has no slope at p = 1 for gamma below 1.
  SmallOptions options;
  Model model(options.encoder, options.attention, kVocabulary, 1);
  HeadSpec spec = small_spec(5, options);
  spec.options.focal_gamma = 0.5;
  spec.options.label_smoothing = 0;
  model.add_head(0, make_head(spec));
  model.finish(1, torch::kFloat32);
  Batch batch = only(small_batch(2), 0);
  const torch::NoGradGuard guard;
  for (const Parameter& parameter : model.head(0).arena().parameters())
    if (parameter.name == "out.bias") parameter.tensor[batch.slices[0].labels[0]] += 200;
  const torch::AutoGradMode on(true);
  model.head(0).loss(model.forward(batch, true).front(), batch.slices[0]).backward();
  EXPECT_TRUE(model.head(0).arena().gradients().isfinite().all().item<bool>());
  EXPECT_TRUE(model.encoder().arena().gradients().isfinite().all().item<bool>());
}

TEST(Heads, WithoutValidTargetsTheLossAndItsGradientAreZero) {
  const auto model = small_model({}, 3);
  Batch batch = small_batch(3);
  std::ranges::fill(batch.slices[1].tags, kIgnore);
  batch.slices[2].masked_rows.clear();
  batch.slices[2].masked_tokens.clear();
  const auto inputs = model->forward(batch, true);
  torch::Tensor total = torch::zeros({}, torch::kFloat64);
  for (const std::size_t task : {1U, 2U}) {
    const torch::Tensor loss = model->head(task).loss(inputs[task], batch.slices[task]);
    EXPECT_EQ(loss.item<double>(), 0) << "task " << task;
    total = total + loss;
    const Scored scored = model->head(task).score(inputs[task], batch.slices[task]);
    EXPECT_EQ(std::ranges::count(scored.count, 0), batch.slices[task].sequences);
  }
  total.backward();
  EXPECT_EQ(model->encoder().arena().gradients().abs().max().item<double>(), 0);
  EXPECT_EQ(model->head(1).arena().gradients().abs().max().item<double>(), 0);
  EXPECT_EQ(model->head(2).arena().gradients().abs().max().item<double>(), 0);
}

TEST(Heads, MaskedLmPredictsNothingWhereNothingIsMasked) {
  const torch::NoGradGuard guard;
  const auto model = small_model({}, 3);
  Batch batch = only(small_batch(3), 2);
  std::ranges::replace(batch.tokens, 4, 7);
  const Predicted predicted = model->head(2).predict(model->forward(batch, false).front());
  EXPECT_EQ(predicted.ids, (std::vector<std::vector<std::int64_t>>(3)));
}

TEST(Heads, FloatFollowsDouble) {
  // The types that training uses: no operation may insist on double.
  const Batch batch = small_batch(6);
  std::vector<double> losses;
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    const SmallOptions options{.encoder = {.layers = 2, .dim = 16, .heads = 2, .ffn = 24, .dropout = 0.2},
                               .attention = {},
                               .head = {.label_smoothing = 0.1}};
    Model model(options.encoder, options.attention, kVocabulary, static_cast<std::int64_t>(kTasks),
                {.feature_widths = {3, 5}, .pairs = true});
    for (std::size_t task = 0; task < kTasks; ++task) model.add_head(task, make_head(small_spec(task, options)));
    model.finish(1, dtype);
    const auto inputs = model.forward(batch, true);
    double sum = 0;
    for (std::size_t task = 0; task < kTasks; ++task) {
      const torch::Tensor loss = model.head(task).loss(inputs[task], batch.slices[task]);
      EXPECT_EQ(loss.scalar_type(), dtype);
      loss.backward({}, /*retain_graph=*/true);
      sum += loss.item<double>();
    }
    losses.push_back(sum);
    losses.push_back(flat_norm(model.encoder().arena().gradients()));
    if (dtype == torch::kFloat32) {
      const torch::NoGradGuard guard;
      EXPECT_EQ(model.head(3).predict(model.forward(batch, false)[3]).ids.size(), 3U);
    }
  }
  EXPECT_NEAR(losses[2], losses[0], 1e-5 * losses[0]);
  EXPECT_NEAR(losses[3], losses[1], 1e-4 * losses[1]);
}

TEST(Model, StartingValuesOfAHeadDoNotDependOnTheOthers) {
  const SmallOptions small;
  const auto head_spec = [&](const std::string& task, Kind kind) {
    return HeadSpec{.task = task,
                    .kind = kind,
                    .classes = 3,
                    .vocab_size = kVocabulary,
                    .encoder = small.encoder,
                    .options = small.head,
                    .statistics = {}};
  };
  Model both(small.encoder, small.attention, kVocabulary, 2), second(small.encoder, small.attention, kVocabulary, 2);
  both.add_head(0, make_head(head_spec("a", Kind::translation)));
  both.add_head(1, make_head(head_spec("b", Kind::tagging)));
  second.add_head(1, make_head(head_spec("b", Kind::tagging)));
  both.finish(9, torch::kFloat32);
  second.finish(9, torch::kFloat32);
  EXPECT_EQ(both.head(1).arena().hash(), second.head(1).arena().hash());
  EXPECT_EQ(both.encoder().arena().hash(), second.encoder().arena().hash());
}

TEST(Model, AnEncoderMadeWithoutPairsReadsThemAsOneText) {
  const torch::NoGradGuard guard;
  const SmallOptions small;
  const Batch pairs = only(small_batch(1), 5);
  Batch texts = pairs;
  texts.second.clear();
  for (const bool marked : {false, true}) {
    Model model(small.encoder, small.attention, kVocabulary, 6, {.feature_widths = {}, .pairs = marked});
    model.finish(1, torch::kFloat64);
    const auto states = [&](const Batch& batch) { return model.forward(batch, false).front().states; };
    EXPECT_TRUE(states(pairs).equal(states(texts)));  // the mark starts at 0
    for (const Parameter& parameter : model.encoder().arena().parameters()) parameter.tensor.add_(0.1);
    EXPECT_EQ(states(pairs).equal(states(texts)), !marked);
  }
}

TEST(Model, ImportanceStartsEqual) {
  const SmallOptions small;
  Model model(small.encoder, small.attention, kVocabulary, 4);
  model.finish(1, torch::kFloat64);
  EXPECT_TRUE(model.encoder().importance().allclose(torch::full({4}, 0.25, torch::kFloat64)));
}

TEST(Registry, HeadsAreFoundByName) {
  EXPECT_EQ(heads_of(Kind::tagging), std::vector<std::string>{"tagging"});
  struct Doubled : TaggingHead {
    using TaggingHead::TaggingHead;
    torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const override {
      return 2 * TaggingHead::loss(input, slice);
    }
  };
  register_head("doubled", Kind::tagging, make_head_of<Doubled>);
  EXPECT_EQ(heads_of(Kind::tagging), (std::vector<std::string>{"tagging", "doubled"}));
  EXPECT_THROW(register_head("doubled", Kind::regression, make_head_of<Doubled>), std::logic_error);
  EXPECT_THROW(register_head("", Kind::regression, make_head_of<Doubled>), std::logic_error);
  HeadSpec spec{.task = "news",
                .kind = Kind::tagging,
                .classes = 3,
                .encoder = SmallOptions().encoder,
                .options = {.head = "doubled"},
                .statistics = {}};
  EXPECT_NE(dynamic_cast<Doubled*>(make_head(spec).get()), nullptr);
  spec.options.head = "tagging";
  EXPECT_EQ(dynamic_cast<Doubled*>(make_head(spec).get()), nullptr);
  spec.options.head = "crf";
  expect_error([&] { make_head(spec); }, Exit::config, {"task.news.head = crf", "tagging, doubled"});
  spec.kind = Kind::classification;
  spec.options.head = "doubled";  // of another kind
  expect_error([&] { make_head(spec); }, Exit::config, {"task.news.head = doubled", "classification"});
}

TEST(Registry, OptionsOfAHeadsOwn) {
  HeadSpec spec{.task = "news",
                .kind = Kind::tagging,
                .classes = 3,
                .encoder = SmallOptions().encoder,
                .options = {.own = {{"scale", "2.5"}, {"link", "probit"}}},
                .statistics = {}};
  const OwnOptions own(spec, {"scale", "link", "other"});
  EXPECT_EQ(own.text("link", "logit"), "probit");
  EXPECT_EQ(own.text("other", "as it was"), "as it was");
  EXPECT_EQ(own.number("scale", 1), 2.5);
  EXPECT_EQ(own.number("other", 7), 7);
  expect_error([&] { own.number("link", 1); }, Exit::config, {"task.news.head_options", "link = probit", "a number"});
  expect_error([&] { OwnOptions(spec, {"scale"}); }, Exit::config, {"task.news.head_options", "link", "it has scale"});
  expect_error([&] { make_head(spec); }, Exit::config, {"task.news.head_options", "tagging", "it has none"});
}

TEST(HeadOptions, OutOfRangeIsAnErrorThatNamesTheTask) {
  const auto with = [](auto change) {
    HeadSpec spec{.task = "news",
                  .kind = Kind::translation,
                  .vocab_size = kVocabulary,
                  .encoder = SmallOptions().encoder,
                  .options = {},
                  .statistics = {}};
    change(spec);
    return [spec] { make_head(spec); };
  };
  EXPECT_NO_THROW(with([](HeadSpec&) {})());
  expect_error(with([](HeadSpec& s) { s.options.dropout = 1; }), Exit::config,
               {"task.news.dropout = 1", ">= 0 and < 1"});
  expect_error(with([](HeadSpec& s) { s.options.dropout = -0.1; }), Exit::config, {"task.news.dropout"});
  expect_error(with([](HeadSpec& s) { s.options.label_smoothing = 1; }), Exit::config,
               {"task.news.label_smoothing = 1"});
  expect_error(with([](HeadSpec& s) { s.options.label_smoothing = std::nan(""); }), Exit::config,
               {"task.news.label_smoothing"});
  expect_error(with([](HeadSpec& s) { s.options.focal_gamma = -1; }), Exit::config, {"task.news.focal_gamma = -1"});
  expect_error(with([](HeadSpec& s) { s.options.delta = 0; }), Exit::config, {"task.news.delta = 0", "> 0"});
  expect_error(with([](HeadSpec& s) { s.kind = Kind::regression; }), Exit::data, {"news", "1 outputs", "0 means"});
  expect_error(with([](HeadSpec& s) { s.options.decoder_layers = 0; }), Exit::config,
               {"task.news.decoder_layers = 0", ">= 1"});
  expect_error(with([](HeadSpec& s) { s.options.max_target = 0; }), Exit::config, {"task.news.max_target = 0"});
  expect_error(with([](HeadSpec& s) {
                 s.kind = Kind::translation;
                 s.encoder.form = EncoderForm::bert;
                 s.encoder.dim = 12;
                 s.encoder.heads = 4;
               }),
               Exit::config, {"news", "encoder.dim = 12", "encoder.heads = 4", "even"});
}

TEST(EncoderOptions, OutOfRangeIsAnErrorThatNamesTheKey) {
  EXPECT_NO_THROW(check(EncoderOptions()));
  const auto with = [](auto change) {
    EncoderOptions options;
    change(options);
    return [options] { check(options); };
  };
  using O = EncoderOptions;
  expect_error(with([](O& o) { o.layers = 0; }), Exit::config, {"encoder.layers = 0"});
  expect_error(with([](O& o) { o.dim = -4; }), Exit::config, {"encoder.dim = -4"});
  expect_error(with([](O& o) { o.heads = 0; }), Exit::config, {"encoder.heads = 0"});
  expect_error(with([](O& o) { o.ffn = 0; }), Exit::config, {"encoder.ffn = 0"});
  expect_error(with([](O& o) { o.dim = 255; }), Exit::config, {"encoder.dim = 255", "encoder.heads = 4", "even"});
  expect_error(with([](O& o) { o.dim = 12; }), Exit::config, {"encoder.dim = 12"});  // 3 channels a head: odd
  expect_error(with([](O& o) { o.dropout = 1; }), Exit::config, {"encoder.dropout = 1", ">= 0 and < 1"});
  expect_error(with([](O& o) { o.dropout = std::nan(""); }), Exit::config, {"encoder.dropout"});
  expect_error(with([](O& o) { o.drop_path = 1; }), Exit::config, {"encoder.drop_path = 1", ">= 0 and < 1"});
  expect_error(with([](O& o) { o.attention_dropout = 1; }), Exit::config,
               {"encoder.attention_dropout = 1", ">= 0 and < 1"});
  expect_error(with([](O& o) { o.positions = 0; }), Exit::config, {"encoder.positions = 0"});
  EXPECT_NO_THROW(check(EncoderOptions{.form = EncoderForm::bert, .dim = 12}));  // an odd head needs no rotary pairs
  expect_error(with([](O& o) {
                 o.form = EncoderForm::bert;
                 o.dim = 10;
               }),
               Exit::config, {"encoder.heads = 4", "divide encoder.dim = 10"});
  expect_error(with([](O& o) { o.adapter_dim = 0; }), Exit::config, {"encoder.adapter_dim = 0"});
  expect_error(with([](O& o) { o.experts = 0; }), Exit::config, {"encoder.experts = 0"});
  expect_error(with([](O& o) { o.expert_layers = 0; }), Exit::config, {"encoder.expert_layers = 0"});
  expect_error(with([](O& o) { o.task_experts = -1; }), Exit::config, {"encoder.task_experts = -1"});
  for (const Sharing share : {Sharing::mmoe, Sharing::ple}) {
    expect_error(with([&](O& o) { o.share = share, o.experts = 3; }), Exit::config,
                 {"encoder.experts = 3", "encoder.ffn = 1024", "divide"});
    expect_error(with([&](O& o) { o.share = share, o.expert_layers = 5; }), Exit::config,
                 {"encoder.expert_layers = 5", "encoder.layers = 4"});
  }
  EXPECT_NO_THROW(with([](O& o) { o.experts = 3, o.expert_layers = 5; })());  // hard has none
}

TEST(AttentionOptions, OutOfRangeIsAnErrorThatNamesTheKey) {
  EXPECT_NO_THROW(check(AttentionOptions(), 16));
  const auto with = [](const AttentionOptions& options) { return [options] { check(options, 16); }; };
  expect_error(with({.heads = 3}), Exit::config, {"attention.heads = 3", "encoder.dim = 16"});
  expect_error(with({.heads = 0}), Exit::config, {"attention.heads = 0"});
  expect_error(with({.temperature = 0}), Exit::config, {"attention.temperature = 0", "> 0"});
  expect_error(with({.temperature = std::nan("")}), Exit::config, {"attention.temperature"});
  expect_error(with({.floor = 1}), Exit::config, {"attention.floor = 1", ">= 0 and < 1"});
  expect_error(with({.floor = -0.1}), Exit::config, {"attention.floor"});
  expect_error(with({.entropy_bonus = -1}), Exit::config, {"attention.entropy_bonus = -1", ">= 0"});
  expect_error(with({.mode = AttentionMode::first, .entropy_bonus = 0.1}), Exit::config,
               {"attention.entropy_bonus = 0.1", "attention.mode = first", "competitive or independent"});
  expect_error(with({.importances = {1, 0}}), Exit::config, {"task.NAME.importance = 0", "above 0"});
  expect_error(with({.mode = AttentionMode::mean, .importance = Importance::fixed}), Exit::config,
               {"attention.mode = mean", "attention.importance = fixed"});
  expect_error(with({.mode = AttentionMode::independent, .importances = {2, 1}}), Exit::config,
               {"attention.mode = independent", "task.NAME.importance"});
  for (const AttentionMode mode :
       {AttentionMode::competitive, AttentionMode::independent, AttentionMode::mean, AttentionMode::first})
    EXPECT_NO_THROW(check(AttentionOptions{.mode = mode}, 16));
  expect_error(
      [] {
        Encoder({.dim = 16}, {.importances = {1, 2}}, 23, 3);
      },
      Exit::config, {"2 importances", "3 tasks"});
}

TEST(Device, CpuIsThereAndOthersAreErrors) {
  EXPECT_EQ(choose_device("cpu", 0), torch::Device(torch::kCPU));
  expect_error([] { choose_device("tpu", 0); }, Exit::config, {"run.device = tpu", "auto, cpu or cuda"});
  EXPECT_EQ(resolve_device("cpu"), "cpu");
  const std::string found = resolve_device("auto");
  EXPECT_TRUE(found == "cpu" || found == "cuda");
  if (found == "cpu") expect_error([] { choose_device("cuda", 0); }, Exit::config, {"run.device = cuda", "cpu"});
}

}  // namespace
}  // namespace polyhead
