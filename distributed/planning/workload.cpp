// Counts the multiplications of matrices, and the elements that autograd keeps, from the shapes of the encoder; the
// kinds count those of their heads.
#include "distributed/planning/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/base/as_doubles.h"
#include "core/base/error.h"
#include "core/kinds/registry.h"
#include "core/model/block_extension.h"

namespace polyhead {
namespace {

constexpr double kUnknownLength = 32;

Work encoder_work(const EncoderOptions& e, const AttentionOptions& attention, double length, double features,
                  double tasks) {
  const auto [d, ffn, layers, heads, task_heads] = as_doubles(e.dim, e.ffn, e.layers, e.heads, attention.heads);
  const double slots = (tasks + 1) * task_heads;
  const bool learned = has_queries(attention.mode);
  const SharingCost sharing = sharing_cost(e);
  const double block = 4 * d * d + 2 * d * ffn + 2 * length * d;  // the last term: scores and values of attention
  // States before and after each norm, q, k, v, q and k rotated, the output of attention, the wide layer twice.
  const double inside = 10 * d + 2 * ffn + heads * length;
  const double again = e.activation_checkpointing ? 4.0 / 3 : 1;  // the forward pass of the blocks runs twice
  return {length * (layers * block * again + sharing.multiplications * again + features * d +
                    (learned ? d * d + slots * d : 0)),
          length * (2 * d + 2 * slots +
                    (e.activation_checkpointing ? layers * d + inside : layers * inside + sharing.kept))};
}

}  // namespace

ModelDescription describe_model(const TrainOptions& options, const Manifest& manifest) {
  ModelDescription description;
  description.encoder = options.encoder;
  description.attention = options.attention;
  description.tokenizer = manifest.tokenizer;
  description.dtype = options.dtype;
  description.max_length = manifest.max_length;
  description.data = std::filesystem::absolute(options.data).lexically_normal().string();
  for (const std::string& name : options.tasks) {
    const TaskInfo& info = manifest.task(name);
    const TaskOptions& task = options.task_options.at(name);
    description.tasks.push_back({name, info.kind, info.labels, info.outputs, task.head, task.masking, {}});
    description.tasks.back().label_type = info.label_type;
  }
  return description;
}

std::vector<TaskWork> work_of(const TrainOptions& options, const Manifest& manifest,
                              const std::vector<MixtureEntry>& mixture) {
  const std::vector<double> taken = epochs(mixture, train_samples(manifest, options.tasks), options.steps);
  // Placement ignores recomputation: activation checkpointing changes no bit, so it must not change the placement.
  EncoderOptions once = options.encoder;
  once.activation_checkpointing = false;
  const auto [steps, tasks, vocabulary] =
      as_doubles(options.steps, options.tasks.size(), manifest.tokenizer.vocab_size);
  std::vector<TaskWork> all;
  for (std::size_t i = 0; i < options.tasks.size(); ++i) {
    const TaskInfo& task = manifest.task(options.tasks[i]);
    const TaskOptions& own = options.task_options.at(task.name);
    const SplitInfo& train = task.splits.at("train");
    const auto [samples, inputs, targets, features] =
        as_doubles(train.samples, train.input_tokens, train.target_tokens, task.features);
    TaskWork work;
    work.samples = taken[i] * samples / steps;
    work.input_tokens = inputs > 0 ? inputs / samples : kUnknownLength;
    if (task_kind(task.kind).traits().generates)
      work.target_tokens = targets > 0 ? targets / samples : work.input_tokens;
    const auto encoder_of = [&, tasks = tasks, features = features](const EncoderOptions& encoder) {
      return encoder_work(encoder, options.attention, work.input_tokens, features, tasks);
    };
    const Work encoder = encoder_of(options.encoder);
    const Work head =
        task_kind(task.kind).work({.encoder = options.encoder,
                                   .head = own.head,
                                   .vocabulary = vocabulary,
                                   .classes = static_cast<double>(std::max(task.labels.size(), task.outputs.size())),
                                   .input = work.input_tokens,
                                   .target = work.target_tokens,
                                   .masked = own.masking.share * work.input_tokens});
    // Backward has two products for each one of forward; a teacher, assumed to be equally large, adds a forward pass.
    const double passes = own.teacher.run_dir.empty() ? 3 : 4;
    work.operations = 2 * passes * (encoder.multiplications + head.multiplications);
    work.activations = encoder.kept + head.kept;
    work.cost = own.cost > 0 ? own.cost : 2 * passes * (encoder_of(once).multiplications + head.multiplications);
    all.push_back(work);
  }
  return all;
}

Placement placement_of(const TrainOptions& options, const std::vector<TaskWork>& work, int workers) {
  std::vector<double> cost;
  std::vector<std::vector<int>> pinned;
  for (std::size_t i = 0; i < work.size(); ++i) {
    const TaskOptions& own = options.task_options.at(options.tasks[i]);
    cost.push_back(work[i].cost * work[i].samples);
    pinned.push_back(own.workers);
    if (!own.workers.empty() && own.workers.back() >= workers)
      throw Error(Exit::config,
                  fmt::format("task.{}.workers names worker {}, but there are {} workers, from 0 to {}: pin the task "
                              "elsewhere or start more workers",
                              options.tasks[i], own.workers.back(), workers, workers - 1));
  }
  return place(cost, workers, pinned);
}

}  // namespace polyhead
