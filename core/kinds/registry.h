// The registered kinds of task, and the metrics that heads from outside bring.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/kinds/task_kind.h"

namespace polyhead {

const TaskKind& task_kind(Kind kind);

// Registers the metrics of the head of this name. Throws std::logic_error for a key that is empty, that another metric
// of the kind has, or that is better in the other direction elsewhere.
void register_metrics(const std::string& head, Kind kind, const std::vector<OwnMetric>& metrics);

// The following functions include the metrics of the task's head.
// - metrics_of() returns the headline metric first.
// - valid_metrics() returns the keys of evaluations during training; the first one is "loss".
// - make_scorer() returns a scorer whose rows are in the order of metrics_of().
std::vector<Metric> metrics_of(Kind kind, const TaskView& task);
Metric headline(Kind kind, const TaskView& task);
std::vector<std::string> valid_metrics(Kind kind, const TaskView& task);
std::unique_ptr<Scorer> make_scorer(Kind kind, const ScorerSpec& spec);

// Whether lower values of the metric are better. A key has the same direction in every kind.
bool lower_is_better(const std::string& metric);

}  // namespace polyhead
