// The registry of kinds, one line each, and the metrics that heads from outside bring.
#include "core/kinds/registry.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/grid.h"

// One line for each kind.
#define POLYHEAD_KINDS(KIND) \
  KIND(classification)       \
  KIND(multilabel)           \
  KIND(regression)           \
  KIND(tagging)              \
  KIND(masked_lm)            \
  KIND(translation)          \
  KIND(span)

namespace polyhead {

// Each is defined in the file of its kind.
#define POLYHEAD_DECLARE(kind) const TaskKind& kind##_kind();
POLYHEAD_KINDS(POLYHEAD_DECLARE)

namespace {

struct Entry {
  Kind kind;
  const TaskKind& (*get)();
};

#define POLYHEAD_ENTRY(kind) Entry{Kind::kind, kind##_kind},
constexpr Entry kKinds[] = {POLYHEAD_KINDS(POLYHEAD_ENTRY)};

std::map<std::string, std::vector<OwnMetric>>& own_metrics() {
  static std::map<std::string, std::vector<OwnMetric>> by_head;
  return by_head;
}

std::vector<OwnMetric> own_metrics_of(const TaskView& task) {
  const auto found = own_metrics().find(task.head);
  return found == own_metrics().end() ? std::vector<OwnMetric>() : found->second;
}

Metric described(const OwnMetric& metric) {
  return {
      .key = metric.key, .lower_is_better = metric.lower_is_better, .name = metric.name, .rows = Metric::Rows::ratio};
}

// Calls use() for every metric of every kind and head.
template <class Use>
void each_metric(const Use& use) {
  // An entity's tags, so that a kind whose metrics depend on the labels has all of them.
  const std::vector<std::string> labels = {"B"}, outputs;
  for (const Entry& entry : kKinds)
    for (const Metric& metric : entry.get().metrics({labels, outputs})) use(metric);
  for (const auto& [head, metrics] : own_metrics())
    for (const OwnMetric& metric : metrics) use(described(metric));
}

// Adds the metrics of a head to those of its kind.
class WithOwnMetrics : public Scorer {
 public:
  WithOwnMetrics(std::unique_ptr<Scorer> kind, std::vector<OwnMetric> metrics)
      : kind_(std::move(kind)), metrics_(std::move(metrics)), sums_(metrics_.size()) {}

  std::vector<SampleRow> add(const ScoredSample& sample) override {
    std::vector<SampleRow> rows = kind_->add(sample);
    for (std::size_t i = 0; i < metrics_.size(); ++i) {
      rows.push_back(metrics_[i].score(sample));
      sums_[i].numerator += on_grid(rows.back().numerator);
      sums_[i].denominator += on_grid(rows.back().denominator);
    }
    return rows;
  }
  void each(const std::function<void(double&)>& use) override {
    kind_->each(use);
    for (SampleRow& sum : sums_)
      for (double* value : {&sum.numerator, &sum.denominator}) use(*value);
  }
  std::optional<std::string> bytes() const override { return kind_->bytes(); }
  void merge(const std::vector<std::string>& of_members) override { kind_->merge(of_members); }
  void add_metrics(std::map<std::string, double>& metrics, double loss) const override {
    kind_->add_metrics(metrics, loss);
    for (std::size_t i = 0; i < metrics_.size(); ++i)
      metrics[metrics_[i].key] = sums_[i].denominator == 0 ? 0 : sums_[i].numerator / sums_[i].denominator;
  }
  bool original_text() const override { return kind_->original_text(); }

 private:
  std::unique_ptr<Scorer> kind_;
  std::vector<OwnMetric> metrics_;
  std::vector<SampleRow> sums_;
};

}  // namespace

const TaskKind& task_kind(Kind kind) {
  for (const Entry& entry : kKinds)
    if (entry.kind == kind) return entry.get();
  throw Error(Exit::internal, fmt::format("core/kinds has no file for {}", name_of(kind)));
}

void register_metrics(const std::string& head, Kind kind, const std::vector<OwnMetric>& metrics) {
  const auto refuse = [&](const std::string& key, const char* why) {
    throw std::logic_error(fmt::format("a metric of the head {} cannot be registered as '{}': {}", head, key, why));
  };
  const std::vector<std::string> none;
  const std::vector<Metric> of_kind = task_kind(kind).metrics({none, none});
  for (const OwnMetric& metric : metrics) {
    if (metric.key.empty() || metric.score == nullptr) refuse(metric.key, "its key or its function is missing");
    if (metric.key == "loss" || metric.key == "samples" || std::ranges::count(of_kind, metric.key, &Metric::key) > 0)
      refuse(metric.key, "the kind has it already");
    each_metric([&](const Metric& other) {
      if (other.key == metric.key && other.lower_is_better != metric.lower_is_better)
        refuse(metric.key, "elsewhere it is better in the other direction");
    });
  }
  own_metrics()[head] = metrics;
}

std::vector<Metric> metrics_of(Kind kind, const TaskView& task) {
  std::vector<Metric> metrics = task_kind(kind).metrics(task);
  for (const OwnMetric& metric : own_metrics_of(task)) metrics.push_back(described(metric));
  return metrics;
}

Metric headline(Kind kind, const TaskView& task) {
  return task_kind(kind).metrics(task).front();
}

std::vector<std::string> valid_metrics(Kind kind, const TaskView& task) {
  std::vector<std::string> keys = {"loss"};
  for (const Metric& metric : metrics_of(kind, task))
    if (!metric.searched) keys.push_back(metric.key);
  return keys;
}

std::unique_ptr<Scorer> make_scorer(Kind kind, const ScorerSpec& spec) {
  std::unique_ptr<Scorer> scorer = task_kind(kind).scorer(spec);
  std::vector<OwnMetric> own = own_metrics_of(spec.task);
  if (own.empty()) return scorer;
  return std::make_unique<WithOwnMetrics>(std::move(scorer), std::move(own));
}

bool lower_is_better(const std::string& metric) {
  bool lower = metric == "loss";
  each_metric([&](const Metric& other) { lower = lower || (other.key == metric && other.lower_is_better); });
  return lower;
}

}  // namespace polyhead
