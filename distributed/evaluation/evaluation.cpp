// Scores a split: each member of the group scores its share of the samples, and the results are summed.
#include "distributed/evaluation/evaluation.h"

#include <algorithm>
#include <span>

#include "core/base/at.h"
#include "core/base/grid.h"
#include "core/base/progress.h"
#include "core/kinds/registry.h"
#include "distributed/description/statistics.h"

namespace polyhead {
namespace {

constexpr std::size_t kBatchSamples = 64;

// Sums over samples and workers that every kind of task needs.
struct Sums {
  double loss = 0, targets = 0, samples = 0, stopped = 0;
  AttentionSums attention;

  template <class Use>
  void each(const Use& use) {
    for (double* value : {&loss, &targets, &samples, &stopped}) use(*value);
    attention.each(use);
  }
};

// Samples of similar length share a batch, so that their searches end at about the same time.
std::vector<StoredSample> by_length(const SplitReader& reader, const std::vector<std::uint64_t>& chosen) {
  std::vector<StoredSample> order;
  for (const std::uint64_t sample : chosen) order.push_back(reader.sample(sample));
  std::ranges::stable_sort(order, {}, &StoredSample::input_length);
  return order;
}

// Stores the rows of a sample at its place in ascending order of samples. metrics: those with rows.
void put_rows(const std::vector<Metric>& metrics, const std::vector<SampleRow>& rows, std::size_t place,
              std::size_t samples, Evaluation& result) {
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    std::vector<double>& all = result.rows[metrics[i].key];
    all.resize(2 * samples);
    all[2 * place] = rows[i].numerator;
    all[2 * place + 1] = rows[i].denominator;
  }
}

// Sums over the members of the group.
void reduce(Sums& sums, Scorer& scorer, const std::string& name, Communicator& group) {
  std::vector<double> flat;
  const auto each = [&](const auto& use) {
    sums.each(use);
    scorer.each(use);
  };
  each([&](double& value) { flat.push_back(value); });
  group.all_reduce(name, flat);
  std::size_t at = 0;
  each([&](double& value) { value = flat[at++]; });
}

}  // namespace

Baseline train_baseline(const TrainedTask& task, const TokenizerInfo& tokenizer, const SplitReader& train) {
  const VocabularyView vocabulary{tokenizer.vocab_size, [&](std::int64_t token) { return maskable(tokenizer, token); }};
  return task_kind(task.kind).baseline(task.view(), vocabulary, samples_of(train));
}

Evaluation evaluate(const Model& model, const ModelDescription& description, std::size_t task, const std::string& split,
                    const SplitReader& reader, const Tokenizer& tokenizer, const EvaluationRequest& request,
                    Communicator& group) {
  const torch::NoGradGuard no_gradient;
  const TrainedTask& trained = description.tasks[task];
  check_input(trained, split, reader);
  const Head& head = model.head(task);
  TaskInfo info;
  info.name = trained.name;
  info.kind = trained.kind;
  info.labels = trained.labels;

  // Members score whole batches, and their sums are of integers or multiples of a fixed unit, so that the bits of the
  // result do not depend on the number of members.
  const std::vector<std::uint64_t> chosen =
      evaluation_samples(trained.name, split, reader.size(), static_cast<std::uint64_t>(request.samples));
  const std::vector<StoredSample> order = by_length(reader, chosen);
  const bool generate = request.generate && task_kind(trained.kind).traits().generates;
  const auto scorer = make_scorer(trained.kind, {.task = trained.view(),
                                                 .decode = [&](const auto& tokens) { return tokenizer.decode(tokens); },
                                                 .features = reader.feature_width() > 0,
                                                 .generate = generate,
                                                 .baseline = request.baseline});
  std::vector<Metric> with_rows = metrics_of(trained.kind, trained.view());
  std::erase_if(with_rows, [](const Metric& metric) { return metric.rows == Metric::Rows::none; });
  Sums sums;
  Evaluation result;
  for (std::size_t begin = static_cast<std::size_t>(group.rank()) * kBatchSamples; begin < order.size();
       begin += static_cast<std::size_t>(group.size()) * kBatchSamples) {
    const std::span<const StoredSample> part(order.data() + begin, std::min(kBatchSamples, order.size() - begin));
    note_progress();
    if (request.stop && request.stop()) {
      sums.stopped = 1;
      break;
    }
    Batch batch;
    batch.offsets = {0};
    for (const StoredSample& sample : part)
      append(batch, task, info, description.tokenizer, sample, evaluation_key(trained.name, split, sample.index()),
             trained.masking);
    const TaskSlice& slice = batch.slices.front();
    const HeadInput input = model.forward(batch, false).front();
    const Scored scored = head.score(input, slice);
    if (model.encoder().learned_weights()) {
      AttentionSums seen = attention_sums(model.encoder(), input.task_weights, task);
      seen.each([](double& value) { value = on_grid(value); });
      sums.attention.add(seen);
    }
    Predicted generated;
    if (generate) generated = head.generate(input, request.search);
    for (std::size_t i = 0; i < part.size(); ++i) {
      sums.loss += on_grid(scored.loss[i]);
      sums.targets += static_cast<double>(scored.count[i]);
      ++sums.samples;
      const std::vector<SampleRow> rows = scorer->add({i, part[i], slice, input.segments.offsets, scored, generated});
      if (group.size() > 1) continue;
      const std::size_t place = index_of(chosen, std::ranges::lower_bound(chosen, part[i].index()));
      put_rows(with_rows, rows, place, chosen.size(), result);
    }
  }

  reduce(sums, *scorer, "evaluate." + trained.name, group);
  result.stopped = sums.stopped > 0;
  if (result.stopped) return result;
  if (const auto bytes = scorer->bytes())
    scorer->merge(group.all_gather_strings("evaluate." + trained.name + ".rows", *bytes));
  result.samples = static_cast<std::int64_t>(sums.samples);
  result.original_text = scorer->original_text();
  result.attention = sums.attention;
  const double loss = result.metrics["loss"] = sums.loss / std::max(1.0, sums.targets);
  scorer->add_metrics(result.metrics, loss);
  return result;
}

}  // namespace polyhead
