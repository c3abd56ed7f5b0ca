// Sums over words, and the means in the report.
#include "distributed/evaluation/attention_report.h"

#include <nlohmann/json.hpp>

#include "core/base/as_doubles.h"
#include "core/heads/head.h"
#include "core/model/task_attention.h"

namespace polyhead {

AttentionSums attention_sums(const Encoder& encoder, const torch::Tensor& weights, std::size_t task) {
  const torch::NoGradGuard no_gradient;
  const std::int64_t first = encoder.first_slot(), heads = weights.size(0);
  const torch::Tensor own = weights.narrow(2, first, weights.size(2) - first),
                      shares = first > 0 ? own : own / own.sum(2, true).clamp_min(kLeastWeight);
  torch::Tensor effective = torch::zeros({weights.size(1)}, weights.options()), entropy = effective;
  for (std::int64_t m = 0; m < heads; ++m) {
    const torch::Tensor one = task_entropy(weights.narrow(0, m, 1), first);
    entropy = entropy + one / heads;
    effective = effective + one.exp() / heads;
  }
  const auto sum = [&](const torch::Tensor& x) { return x.sum(torch::kFloat64).item<double>(); };
  const auto [words, per_word] = as_doubles(weights.size(1), heads);
  AttentionSums sums;
  sums.words = words;
  sums.entropy = sum(entropy);
  sums.effective_tasks = sum(effective);
  sums.focused = sum(shares.amax(2).gt(kFocused)) / per_word;
  sums.share = sum(shares.select(2, encoder.slot(task) - first)) / per_word;
  if (first > 0) sums.no_task = sum(weights.select(2, 0)) / per_word;
  return sums;
}

AttentionReport attention_report(const Encoder& encoder, const std::map<std::size_t, AttentionSums>& sums,
                                 const std::vector<std::string>& names) {
  const bool competitive = encoder.attention().mode == AttentionMode::competitive;
  const auto figures = [&](const AttentionSums& s) {
    std::map<std::string, double> out = {{"entropy", s.entropy / s.words},
                                         {"effective_tasks", s.effective_tasks / s.words},
                                         {"focused", s.focused / s.words},
                                         {"share", s.share / s.words}};
    if (competitive) out["no_task"] = s.no_task / s.words;
    return out;
  };
  const std::vector<double> importance =
      competitive ? to_host_double(encoder.importance().detach()) : std::vector<double>();
  const double even = 1 / static_cast<double>(encoder.slot(names.size()));
  AttentionReport report;
  AttentionSums all;
  for (const auto& [task, sum] : sums) {
    auto& figure = report.tasks[names[task]] = figures(sum);
    if (competitive) figure["importance"] = importance[task];
    if (figure["share"] < kDead * even) report.dead.push_back(names[task]);
    all.add(sum);
  }
  report.all = figures(all);
  return report;
}

std::string to_json(const AttentionReport& report) {
  return nlohmann::json{{"all", report.all}, {"tasks", report.tasks}, {"dead", report.dead}}.dump();
}

}  // namespace polyhead
