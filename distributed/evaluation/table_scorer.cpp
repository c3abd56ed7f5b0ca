// Multilabel and regression, whose metrics need the targets and predictions of all samples at once.
#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/metrics/scores.h"
#include "distributed/evaluation/scorer.h"

namespace polyhead {
namespace {

class TableScorer : public Scorer {
 public:
  explicit TableScorer(const ScorerSpec& spec)
      : spec_(spec),
        multilabel_(spec.task.kind == Kind::multilabel),
        width_(multilabel_ ? spec.task.labels.size() : std::max<std::size_t>(1, spec.task.outputs.size())) {}

  SampleRows add(const ScoredSample& sample) override {
    const auto row_of = [&](const auto& values) {
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(sample.index * width_);
      return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(width_));
    };
    const std::vector<double> gold = multilabel_ ? row_of(sample.slice.labels) : row_of(sample.slice.values),
                              predicted = row_of(sample.scored.values);
    cells_.push_back(static_cast<double>(sample.stored.index()));
    cells_.insert(cells_.end(), gold.begin(), gold.end());
    cells_.insert(cells_.end(), predicted.begin(), predicted.end());
    SampleRow row;
    for (std::size_t k = 0; k < width_; ++k) {
      const double told = predicted[k] >= kThreshold ? 1 : 0, error = gold[k] - predicted[k];
      row.numerator += multilabel_ ? 2 * gold[k] * told : error * error;
      row.denominator += multilabel_ ? gold[k] + told : 1;
    }
    return {row, std::nullopt};
  }

  void each(const std::function<void(double&)>&) override {}

  // Puts the rows of all members into the order of their samples, as a single member would have them.
  void gather(Communicator& group) override {
    const std::size_t row = 1 + 2 * width_;
    std::map<double, std::vector<double>> rows;
    for (const std::string& bytes :
         group.all_gather_strings("evaluate." + spec_.task.name + ".rows",
                                  {reinterpret_cast<const char*>(cells_.data()), cells_.size() * sizeof(double)}))
      for (std::size_t at = 0; at < bytes.size(); at += row * sizeof(double)) {
        std::vector<double> one(row);
        std::memcpy(one.data(), bytes.data() + at, row * sizeof(double));
        rows[one[0]] = std::move(one);
      }
    cells_.clear();
    for (const auto& [sample, one] : rows) cells_.insert(cells_.end(), one.begin(), one.end());
  }

  void add_metrics(std::map<std::string, double>& metrics, double) const override {
    const std::vector<double> gold = columns(1), predicted = columns(1 + width_);
    std::vector<double> constant;  // the baseline's predictions
    if (spec_.baseline)
      for (std::size_t i = 0; i < gold.size(); ++i) constant.push_back(spec_.baseline->constant[i % width_]);
    if (multilabel_) {
      const MultilabelMetrics values = multilabel_metrics(gold, predicted, width_);
      metrics["micro_f1"] = values.micro_f1;
      metrics["macro_f1"] = values.macro_f1;
      metrics["average_precision"] = values.average_precision;
      metrics["subset_accuracy"] = values.subset_accuracy;
      if (!spec_.baseline) return;
      metrics["majority_micro_f1"] = multilabel_metrics(gold, constant, width_).micro_f1;
      metrics["prior_average_precision"] =
          multilabel_metrics(gold, std::vector<double>(gold.size(), 0), width_).average_precision;
    } else {
      const RegressionMetrics values = regression_metrics(gold, predicted, width_);
      metrics["mse"] = values.mse;
      metrics["mae"] = values.mae;
      metrics["r2"] = values.r2;
      metrics["pearson"] = values.pearson;
      metrics["spearman"] = values.spearman;
      if (spec_.baseline) metrics["mean_mse"] = regression_metrics(gold, constant, width_).mse;
    }
  }

 private:
  // [samples, width]
  std::vector<double> columns(std::size_t first) const {
    std::vector<double> out;
    for (std::size_t at = first; at < cells_.size(); at += 1 + 2 * width_)
      out.insert(out.end(), cells_.begin() + static_cast<std::ptrdiff_t>(at),
                 cells_.begin() + static_cast<std::ptrdiff_t>(at + width_));
    return out;
  }

  ScorerSpec spec_;
  bool multilabel_;
  std::size_t width_;          // classes or outputs
  std::vector<double> cells_;  // rows of 1 + 2 width: the sample, its targets, its predictions
};

}  // namespace

std::unique_ptr<Scorer> make_table_scorer(const ScorerSpec& spec) {
  return std::make_unique<TableScorer>(spec);
}

}  // namespace polyhead
