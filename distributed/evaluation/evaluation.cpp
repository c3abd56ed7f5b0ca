// Scores a split: each member of the group its share of the samples, then sums over the group.
#include "distributed/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <span>

#include "core/base/grid.h"
#include "core/base/progress.h"
#include "distributed/description/statistics.h"

namespace polyhead {
namespace {

constexpr std::size_t kBatchSamples = 64;

// Everything that is summed over samples and workers.
struct Sums {
  double loss = 0, targets = 0, right = 0, scored = 0, samples = 0, majority_right = 0, unigram_loss = 0, original = 0;
  double stopped = 0;
  std::vector<double> classes;  // add_prediction
  std::vector<double> entities = std::vector<double>(kEntitySums), majority_entities = entities;
  std::vector<double> bleu = std::vector<double>(kBleuSums), copy_bleu = bleu;
  std::vector<double> chrf = std::vector<double>(kChrfSums), copy_chrf = chrf;
  AttentionSums attention;

  template <class Use>
  void each(const Use& use) {
    for (double* value :
         {&loss, &targets, &right, &scored, &samples, &majority_right, &unigram_loss, &original, &stopped})
      use(*value);
    for (auto* values : {&classes, &entities, &majority_entities, &bleu, &copy_bleu, &chrf, &copy_chrf})
      for (double& value : *values) use(value);
    attention.each(use);
  }
};

// Multilabel and regression: what their metrics need of every sample.
struct Table {
  std::size_t width = 0;      // classes, outputs
  std::vector<double> cells;  // rows of 1 + 2 width: the sample, its targets, its predictions

  void add(std::uint64_t sample, std::span<const double> gold, std::span<const double> predicted) {
    cells.push_back(static_cast<double>(sample));
    cells.insert(cells.end(), gold.begin(), gold.end());
    cells.insert(cells.end(), predicted.begin(), predicted.end());
  }
  // Rows of all members in the order of their samples, as a single one would have them.
  void gather(const std::string& name, Communicator& group) {
    const std::size_t row = 1 + 2 * width;
    std::map<double, std::vector<double>> rows;
    for (const std::string& bytes :
         group.all_gather_strings(name, {reinterpret_cast<const char*>(cells.data()), cells.size() * sizeof(double)}))
      for (std::size_t at = 0; at < bytes.size(); at += row * sizeof(double)) {
        std::vector<double> one(row);
        std::memcpy(one.data(), bytes.data() + at, row * sizeof(double));
        rows[one[0]] = std::move(one);
      }
    cells.clear();
    for (const auto& [sample, one] : rows) cells.insert(cells.end(), one.begin(), one.end());
  }
  std::vector<double> column(std::size_t first) const {
    std::vector<double> out;
    for (std::size_t at = 0; at < cells.size(); at += 1 + 2 * width)
      out.insert(out.end(), cells.begin() + static_cast<std::ptrdiff_t>(at + first),
                 cells.begin() + static_cast<std::ptrdiff_t>(at + first + width));
    return out;
  }
  std::vector<double> gold() const { return column(1); }
  std::vector<double> predicted() const { return column(1 + width); }
};

// Adds the metrics, and the rows for the bootstrap of the first of them.
void score_table(const Table& table, Kind kind, const Baseline* baseline, Evaluation& result) {
  auto& metrics = result.metrics;
  const std::vector<double> gold = table.gold(), predicted = table.predicted();
  std::vector<double> constant;
  if (baseline)
    for (std::size_t i = 0; i < gold.size(); ++i) constant.push_back(baseline->constant[i % table.width]);
  if (kind == Kind::multilabel) {
    const auto [micro_f1, macro_f1, average_precision, subset_accuracy] =
        multilabel_metrics(gold, predicted, table.width);
    metrics["micro_f1"] = micro_f1;
    metrics["macro_f1"] = macro_f1;
    metrics["average_precision"] = average_precision;
    metrics["subset_accuracy"] = subset_accuracy;
    if (baseline) {
      metrics["majority_micro_f1"] = multilabel_metrics(gold, constant, table.width).micro_f1;
      metrics["prior_average_precision"] =
          multilabel_metrics(gold, std::vector<double>(gold.size(), 0), table.width).average_precision;
    }
  } else {
    const auto [mse, mae, r2, pearson, spearman] = regression_metrics(gold, predicted, table.width);
    metrics["mse"] = mse;
    metrics["mae"] = mae;
    metrics["r2"] = r2;
    metrics["pearson"] = pearson;
    metrics["spearman"] = spearman;
    if (baseline) metrics["mean_mse"] = regression_metrics(gold, constant, table.width).mse;
  }
  for (std::size_t i = 0; i < gold.size(); i += table.width) {
    double numerator = 0, denominator = 0;
    for (std::size_t k = i; k < i + table.width; ++k) {
      const double told = predicted[k] >= kThreshold ? 1 : 0, error = gold[k] - predicted[k];
      numerator += kind == Kind::multilabel ? 2 * gold[k] * told : error * error;
      denominator += kind == Kind::multilabel ? gold[k] + told : 1;
    }
    result.rows.insert(result.rows.end(), {numerator, denominator});
  }
}

std::vector<std::int64_t> tags_of(const std::string& text, const std::vector<std::string>& labels) {
  std::vector<std::int64_t> tags;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find(' ', at);
    if (end == std::string::npos) end = text.size();
    if (end > at) {
      const auto label = std::ranges::find(labels, text.substr(at, end - at));
      if (label != labels.end()) tags.push_back(label - labels.begin());
    }
    at = end + 1;
  }
  return tags;
}

}  // namespace

Baseline train_baseline(const TrainedTask& task, const TokenizerInfo& tokenizer, const SplitReader& train) {
  Baseline baseline;
  if (task.kind == Kind::regression) {
    baseline.constant = train_statistics(task, train).mean;
    return baseline;
  }
  if (task.kind == Kind::multilabel) {
    std::map<std::vector<std::int64_t>, std::uint64_t> sets;
    for (std::uint64_t sample = 0; sample < train.size(); ++sample) {
      std::vector<std::int64_t> labels;
      train.sample(sample).labels(labels);
      ++sets[labels];
    }
    const auto& most = std::ranges::max_element(sets, {}, [](const auto& entry) { return entry.second; })->first;
    baseline.constant.assign(most.begin(), most.end());
    return baseline;
  }
  std::vector<double> count;
  std::vector<std::int64_t> values;
  const bool words = task.kind == Kind::masked_lm || task.kind == Kind::translation;
  count.assign(words ? static_cast<std::size_t>(tokenizer.vocab_size) : task.labels.size(), 0);
  for (std::uint64_t sample = 0; sample < train.size(); ++sample) {
    values.clear();
    switch (task.kind) {
      case Kind::classification:
        values.push_back(train.sample(sample).label());
        break;
      case Kind::tagging:
        train.sample(sample).tags(values);
        break;
      case Kind::masked_lm:
        train.sample(sample).input_tokens(values);
        break;
      case Kind::translation:
        train.sample(sample).target_tokens(values);
        break;
      case Kind::multilabel:
      case Kind::regression:
        break;  // above
    }
    for (const std::int64_t value : values)
      if (value != kIgnore && (task.kind != Kind::masked_lm || maskable(tokenizer, value)))
        ++count[static_cast<std::size_t>(value)];
  }
  baseline.majority = std::ranges::max_element(count) - count.begin();
  if (words) {
    const double total = std::accumulate(count.begin(), count.end(), static_cast<double>(count.size()));
    for (const double c : count) baseline.unigram.push_back(std::log((c + 1) / total));
  }
  return baseline;
}

Evaluation evaluate(const Model& model, const ModelDescription& description, int task, const std::string& split,
                    const SplitReader& reader, const Tokenizer& tokenizer, const EvaluationRequest& request,
                    Communicator& group) {
  const torch::NoGradGuard no_gradient;
  const TrainedTask& trained = description.tasks[static_cast<std::size_t>(task)];
  check_input(trained, split, reader);
  const Head& head = model.head(task);
  const auto classes = static_cast<std::int64_t>(trained.labels.size());
  const bool by_class = trained.kind == Kind::classification || trained.kind == Kind::tagging;
  const bool bio = trained.kind == Kind::tagging && is_bio(trained.labels);
  const bool by_table = trained.kind == Kind::multilabel || trained.kind == Kind::regression;
  TaskInfo info;
  info.name = trained.name;
  info.kind = trained.kind;
  info.labels = trained.labels;

  // Neighbours in length share a batch, so that search ends together. Members take whole batches, and what they add is
  // on a grid or counted: the result has the same bits however many they are.
  const std::vector<std::uint64_t> chosen =
      evaluation_samples(trained.name, split, reader.size(), static_cast<std::uint64_t>(request.samples));
  std::vector<StoredSample> order;
  for (const std::uint64_t sample : chosen) order.push_back(reader.sample(sample));
  std::ranges::stable_sort(order, {}, &StoredSample::input_length);

  Sums sums;
  Scores scores;
  scores.sums.assign(by_class ? 3 * static_cast<std::size_t>(classes) : 0, 0);
  Table table{.width = trained.kind == Kind::multilabel ? trained.labels.size()
                                                        : std::max<std::size_t>(1, trained.outputs.size()),
              .cells = {}};
  Evaluation result;
  if (group.size() == 1 && !by_table) result.rows.assign(2 * chosen.size(), 0);
  if (bio) result.accuracy_rows = result.rows;
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
    if (trained.kind == Kind::translation && request.generate) generated = head.generate(input, request.search);

    std::size_t target = 0;  // walks through scored.predicted
    for (std::size_t i = 0; i < part.size(); ++i) {
      const double right_before = sums.right, scored_before = sums.scored;
      const std::vector<double> entities_before = sums.entities;
      const auto score_one = [&](std::int64_t gold, std::int64_t predicted) {
        sums.right += gold == predicted;
        ++sums.scored;
        if (by_class) add_prediction(scores, classes, gold, predicted);
        if (!request.baseline) return;
        if (by_class)
          sums.majority_right += gold == request.baseline->majority;
        else
          sums.unigram_loss -= on_grid(request.baseline->unigram[static_cast<std::size_t>(gold)]);
      };
      sums.loss += on_grid(scored.loss[i]);
      sums.targets += static_cast<double>(scored.count[i]);
      ++sums.samples;
      switch (trained.kind) {
        case Kind::classification:
          score_one(slice.labels[i], scored.predicted[i]);
          break;
        case Kind::tagging: {
          std::vector<std::int64_t> gold_tags, predicted_tags;
          for (const auto end = static_cast<std::size_t>(input.segments.offsets[i + 1]); target < end; ++target)
            if (slice.tags[target] != kIgnore) {
              score_one(slice.tags[target], scored.predicted[target]);
              gold_tags.push_back(slice.tags[target]);
              predicted_tags.push_back(scored.predicted[target]);
            }
          if (const auto text = part[i].target_text()) {
            ++sums.original;
            const auto gold = tags_of(*text, trained.labels);
            for (std::size_t word = gold_tags.size(); word < gold.size(); ++word) {
              ++sums.scored;
              add_prediction(scores, classes, gold[word], -1);  // the model was not shown it
              gold_tags.push_back(gold[word]);
              predicted_tags.push_back(-1);
              if (request.baseline) sums.majority_right += gold[word] == request.baseline->majority;
            }
          }
          if (!bio) break;
          add_entities(sums.entities, gold_tags, predicted_tags, trained.labels);
          if (request.baseline)
            add_entities(sums.majority_entities, gold_tags,
                         std::vector<std::int64_t>(gold_tags.size(), request.baseline->majority), trained.labels);
          break;
        }
        case Kind::masked_lm:
          for (std::int64_t n = 0; n < scored.count[i]; ++n, ++target)
            score_one(slice.masked_tokens[target], scored.predicted[target]);
          break;
        case Kind::translation: {
          for (std::int64_t n = 0; n < scored.count[i]; ++n, ++target)
            score_one(slice.target_tokens[target], scored.predicted[target]);
          if (!request.generate) break;
          const auto target_text = part[i].target_text();
          const std::string reference =
              target_text
                  ? *target_text
                  : tokenizer.decode(
                        std::span(slice.target_tokens)
                            .subspan(static_cast<std::size_t>(slice.target_offsets[i]),
                                     static_cast<std::size_t>(slice.target_offsets[i + 1] - slice.target_offsets[i])));
          const std::string hypothesis = tokenizer.decode(generated.ids[i]);
          sums.original += target_text.has_value();
          add_bleu(sums.bleu, hypothesis, reference);
          add_chrf(sums.chrf, hypothesis, reference);
          if (reader.feature_width() > 0) break;
          std::vector<std::int64_t> ids;
          const auto source_text = part[i].input_text();
          part[i].input_tokens(ids);
          const std::string source = source_text ? *source_text : tokenizer.decode(ids);
          add_bleu(sums.copy_bleu, source, reference);
          add_chrf(sums.copy_chrf, source, reference);
          break;
        }
        case Kind::multilabel:
        case Kind::regression: {
          const auto from = i * table.width, to = from + table.width;
          const std::vector<double> gold =
              trained.kind == Kind::multilabel
                  ? std::vector<double>(slice.labels.begin() + static_cast<std::ptrdiff_t>(from),
                                        slice.labels.begin() + static_cast<std::ptrdiff_t>(to))
                  : std::vector<double>(slice.values.begin() + static_cast<std::ptrdiff_t>(from),
                                        slice.values.begin() + static_cast<std::ptrdiff_t>(to));
          table.add(part[i].index(), gold, std::span(scored.values).subspan(from, table.width));
          break;
        }
      }
      if (group.size() == 1 && !by_table) {
        const auto place = std::ranges::lower_bound(chosen, part[i].index()) - chosen.begin();
        double* row = (bio ? result.accuracy_rows : result.rows).data() + 2 * place;
        row[0] = by_class ? sums.right - right_before : scored.loss[i];
        row[1] = by_class ? sums.scored - scored_before : static_cast<double>(scored.count[i]);
        if (bio) {
          result.rows[2 * static_cast<std::size_t>(place)] = 2 * (sums.entities[0] - entities_before[0]);
          result.rows[2 * static_cast<std::size_t>(place) + 1] =
              sums.entities[1] + sums.entities[2] - entities_before[1] - entities_before[2];
        }
      }
    }
  }

  sums.classes = scores.sums;
  std::vector<double> flat;
  sums.each([&](double& value) { flat.push_back(value); });
  group.all_reduce("evaluate." + trained.name, flat);
  std::size_t at = 0;
  sums.each([&](double& value) { value = flat[at++]; });
  scores.sums = sums.classes;
  result.stopped = sums.stopped > 0;
  if (result.stopped) return result;

  result.samples = static_cast<std::int64_t>(sums.samples);
  result.original_text = sums.original > 0;
  result.attention = sums.attention;
  auto& metrics = result.metrics;
  const double targets = std::max(1.0, sums.targets), all = std::max(1.0, sums.scored);
  metrics["loss"] = sums.loss / targets;
  if (by_table) {
    table.gather("evaluate." + trained.name + ".rows", group);
    score_table(table, trained.kind, request.baseline, result);
    if (group.size() > 1) result.rows.clear();
    return result;
  }
  metrics["accuracy"] = sums.right / all;
  if (by_class) {
    metrics["macro_f1"] = macro_f1(scores, classes);
    if (bio) metrics["entity_f1"] = entity_f1(sums.entities);
    if (bio && request.baseline) metrics["majority_entity_f1"] = entity_f1(sums.majority_entities);
    if (trained.kind == Kind::classification) metrics["matthews"] = matthews(scores, classes);
    if (request.baseline) metrics["majority"] = sums.majority_right / all;
  } else {
    metrics["perplexity"] = std::exp(sums.loss / targets);
    if (request.baseline) metrics["unigram_perplexity"] = std::exp(sums.unigram_loss / targets);
  }
  if (trained.kind == Kind::translation && request.generate) {
    metrics["bleu"] = bleu(sums.bleu);
    metrics["chrf"] = chrf(sums.chrf);
    if (reader.feature_width() == 0) {
      metrics["copy_bleu"] = bleu(sums.copy_bleu);
      metrics["copy_chrf"] = chrf(sums.copy_chrf);
    }
  }
  return result;
}

}  // namespace polyhead
