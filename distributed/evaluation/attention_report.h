// The attention report: how words divide their weight among tasks. It shows whether attention concentrates on few
// tasks.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "core/model/encoder.h"
#include "core/model/torch.h"

namespace polyhead {

// A word is focused if one task has more than this share of it.
inline constexpr double kFocused = 0.9;
// A task is dead if its mean share of the words of its own samples is below this fraction of an even share.
inline constexpr double kDead = 0.1;

// Sums over words of means over attention heads. In competitive mode, a task's share of a word is its weight; in the
// other modes, it is its fraction of the word's weights over all tasks.
struct AttentionSums {
  double words = 0;
  double entropy = 0, effective_tasks = 0;  // of task_entropy's p, in nats, and its exponential: 1..T
  double focused = 0;                       // 1 where a task's share is above kFocused
  double share = 0;                         // of the task whose sample the word is in
  double no_task = 0;                       // the weight of slot 0, in competitive mode

  template <class Use>
  void each(const Use& use) {
    for (double* value : {&words, &entropy, &effective_tasks, &focused, &share, &no_task}) use(*value);
  }
  void add(AttentionSums more) {
    std::vector<double> values;
    more.each([&](double value) { values.push_back(value); });
    std::size_t at = 0;
    each([&](double& value) { value += values[at++]; });
  }
};

// weights: HeadInput::task_weights of samples of `task`, [attention heads, words, slots].
AttentionSums attention_sums(const Encoder& encoder, const torch::Tensor& weights, std::size_t task);

// Means over the words of each task's samples, and over all words: entropy, effective_tasks, focused, share, no_task;
// of a task also its importance. no_task and importance exist in competitive mode only.
struct AttentionReport {
  std::map<std::string, double> all;
  std::map<std::string, std::map<std::string, double>> tasks;
  std::vector<std::string> dead;  // tasks
};

// sums: by task, with at least one word each. names: of all tasks.
AttentionReport attention_report(const Encoder& encoder, const std::map<std::size_t, AttentionSums>& sums,
                                 const std::vector<std::string>& names);

// {"all": {…}, "tasks": {NAME: {…}}, "dead": […]}
std::string to_json(const AttentionReport& report);

}  // namespace polyhead
