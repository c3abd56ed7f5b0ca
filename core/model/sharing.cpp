// Implements the formulas in the header: each task's own parts on its rows, and shared experts on all rows at once.
#include "core/model/sharing.h"

#include <cmath>

#include <fmt/format.h>

namespace polyhead {
namespace {

std::vector<std::int64_t> row_counts(const std::vector<TaskRows>& tasks) {
  std::vector<std::int64_t> rows;
  for (const TaskRows& task : tasks) rows.push_back(task.rows);
  return rows;
}

bool with_experts(const EncoderOptions& options) {
  return options.share == Sharing::mmoe || options.share == Sharing::ple;
}

std::int64_t expert_width(const EncoderOptions& options) {
  return options.ffn / options.experts;
}

}  // namespace

Experts::Experts(Arena& arena, const std::string& name, std::int64_t count, const EncoderOptions& options) {
  const std::int64_t width = expert_width(options), dim = options.dim;
  // The same initial values that Linear would give each expert's matrices in a block of this form.
  const bool bert = options.form == EncoderForm::bert;
  const double deviation = bert ? 0.02 : std::sqrt(2.0 / static_cast<double>(dim + width)),
               gain = bert ? 1 : 1 / std::sqrt(2.0 * static_cast<double>(options.layers));
  up = arena.normal(name + ".up.weight", {count * width, dim}, deviation, true);
  up_bias = arena.constant(name + ".up.bias", {count * width}, 0);
  down = arena.normal(name + ".down.weight", {dim, count * width}, gain * deviation, true);
  down_bias = arena.constant(name + ".down.bias", {count, dim}, 0);
}

torch::Tensor Experts::hidden(const torch::Tensor& n) const {
  return at::gelu(at::linear(n, up->tensor, up_bias->tensor));
}

torch::Tensor Experts::mix(const torch::Tensor& hidden, const torch::Tensor& gates) const {
  const torch::Tensor weighted = hidden.view({hidden.size(0), gates.size(1), -1}) * gates.unsqueeze(2);
  return at::linear(weighted.view(hidden.sizes()), down->tensor) + at::mm(gates, down_bias->tensor);
}

TaskLayers::TaskLayers(Arena& arena, const EncoderOptions& options) {
  check(options);
  const std::int64_t dim = options.dim, width = options.adapter_dim;
  for (std::int64_t i = 0; i < options.layers; ++i) {
    const std::string name = fmt::format("encoder.layers.{}", i);
    Layer layer;
    if (options.share == Sharing::adapters) {
      layer.norm = LayerNorm(arena, name + ".adapter.norm", dim);
      layer.down = Linear(arena, name + ".adapter.down", dim, width);
      layer.up = Linear(arena, name + ".adapter.up", width, dim, 0);
    }
    if (options.share == Sharing::mtan) {
      layer.norm = LayerNorm(arena, name + ".mask.norm", dim);
      layer.down = Linear(arena, name + ".mask.down", i == 0 ? dim : 2 * dim, width);
      layer.up = Linear(arena, name + ".mask.up", width, dim);
    }
    if (i >= first_expert_layer(options)) {
      const std::int64_t own = options.share == Sharing::ple ? options.task_experts : 0;
      layer.gate = arena.constant(name + ".gate", {options.experts + own, dim}, 0);
      if (own > 0) layer.experts = Experts(arena, name + ".experts", own, options);
    }
    layers_.push_back(layer);
  }
}

torch::Tensor adapted(const torch::Tensor& x, const std::vector<TaskRows>& tasks, std::size_t i) {
  const auto parts = x.split_with_sizes(row_counts(tasks));
  std::vector<torch::Tensor> changes;
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    const TaskLayers::Layer& layer = tasks[k].layers->layer(i);
    changes.push_back(layer.up(at::gelu(layer.down(layer.norm(parts[k])))));
  }
  return x + torch::cat(changes);
}

torch::Tensor masked_features(const torch::Tensor& x, const torch::Tensor& before, const std::vector<TaskRows>& tasks,
                              std::size_t i) {
  const auto parts = x.split_with_sizes(row_counts(tasks));
  std::vector<torch::Tensor> previous, features;
  if (before.defined()) previous = before.split_with_sizes(row_counts(tasks));
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    const TaskLayers::Layer& layer = tasks[k].layers->layer(i);
    const torch::Tensor shared = layer.norm(parts[k]);
    const torch::Tensor seen = before.defined() ? torch::cat({shared, previous[k]}, 1) : shared;
    features.push_back(at::sigmoid(layer.up(at::gelu(layer.down(seen)))) * shared);
  }
  return torch::cat(features);
}

MixtureOfExperts::MixtureOfExperts(Arena& arena, const std::string& name, std::int64_t tasks, bool last,
                                   const EncoderOptions& options)
    : experts(arena, name, options.experts, options),
      count(options.experts),
      task_count(options.share == Sharing::ple ? options.task_experts : 0) {
  if (task_count > 0 && !last) gate = arena.constant(name + ".gate", {count + tasks * task_count, options.dim}, 0);
}

std::pair<torch::Tensor, torch::Tensor> MixtureOfExperts::operator()(const torch::Tensor& own,
                                                                     const torch::Tensor& shared,
                                                                     const std::vector<TaskRows>& tasks,
                                                                     std::size_t i) const {
  const std::vector<std::int64_t> rows = row_counts(tasks);
  const auto parts = own.split_with_sizes(rows);
  std::vector<torch::Tensor> shared_logits;
  if (gate) shared_logits = at::linear(shared, gate->tensor).split_with_sizes(rows);
  struct Path {
    std::vector<torch::Tensor> gates,
        sums;  // by task: gates of the shared experts, [rows, K]; sums over the task's own, [rows, dim]
  } of_task, of_all;
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    const TaskLayers::Layer& layer = tasks[k].layers->layer(i);
    torch::Tensor hidden;
    if (task_count > 0) hidden = layer.experts.hidden(parts[k]);
    const auto add = [&](Path& path, const torch::Tensor& logits) {
      const torch::Tensor gates = at::softmax(logits, 1);
      path.gates.push_back(gates.narrow(1, 0, count));
      if (task_count > 0) path.sums.push_back(layer.experts.mix(hidden, gates.narrow(1, count, task_count)));
    };
    add(of_task, at::linear(parts[k], layer.gate->tensor));
    if (gate)
      add(of_all, torch::cat({shared_logits[k].narrow(1, 0, count),
                              shared_logits[k].narrow(1, count + tasks[k].task * task_count, task_count)},
                             1));
  }
  const torch::Tensor hidden = experts.hidden(shared);
  const auto sum = [&](const Path& path) {
    const torch::Tensor mixed = experts.mix(hidden, torch::cat(path.gates));
    return path.sums.empty() ? mixed : mixed + torch::cat(path.sums);
  };
  return {sum(of_task), gate ? sum(of_all) : torch::Tensor()};
}

std::int64_t first_expert_layer(const EncoderOptions& options) {
  return with_experts(options) ? options.layers - options.expert_layers : options.layers;
}

std::int64_t shared_path_blocks(const EncoderOptions& options) {
  return options.share == Sharing::ple && options.expert_layers > 1 ? options.expert_layers : 0;
}

double sharing_work(const EncoderOptions& options) {
  const auto dim = static_cast<double>(options.dim), layers = static_cast<double>(options.layers),
             bottleneck = static_cast<double>(options.adapter_dim), experts = static_cast<double>(options.experts),
             blocks = static_cast<double>(options.expert_layers);
  if (options.share == Sharing::adapters) return layers * 2 * dim * bottleneck;
  if (options.share == Sharing::mtan) return (3 * layers - 1) * dim * bottleneck;
  if (options.share == Sharing::mmoe) return blocks * dim * experts;
  if (options.share != Sharing::ple) return 0;
  const auto task_experts = static_cast<double>(options.task_experts);
  const double width = task_experts * static_cast<double>(expert_width(options));
  // The shared path in addition to the task's path: attention, and the products with `down` again.
  const double path = 4 * dim * dim + dim * (static_cast<double>(options.ffn) + width);
  return blocks * dim * (experts + task_experts + 2 * width) + (blocks - 1) * path;
}

}  // namespace polyhead
