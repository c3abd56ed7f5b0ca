// LoRA (Hu et al., 2021): a matrix W of a block becomes W + (alpha / r) B A, with A of r rows and B of r columns. Only
// A and B are trained, besides task attention and heads. Initially B = 0, so the encoder begins as it was. With lora, A
// and B belong to the encoder; with task_lora, each task has its own.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/as_doubles.h"
#include "core/model/block_extension.h"

namespace polyhead {
namespace {

// A matrix that may have an update: the linear layer that it belongs to, and its rows and columns.
struct Target {
  std::string_view name;
  BlockLinear layer;
  std::int64_t EncoderOptions::*in, EncoderOptions::*out;
};

constexpr std::array<Target, kLoraTargets.size()> kTargets = {{
    {kLoraTargets[0], BlockLinear::qkv, &EncoderOptions::dim, &EncoderOptions::dim},
    {kLoraTargets[1], BlockLinear::qkv, &EncoderOptions::dim, &EncoderOptions::dim},
    {kLoraTargets[2], BlockLinear::qkv, &EncoderOptions::dim, &EncoderOptions::dim},
    {kLoraTargets[3], BlockLinear::attention_out, &EncoderOptions::dim, &EncoderOptions::dim},
    {kLoraTargets[4], BlockLinear::up, &EncoderOptions::dim, &EncoderOptions::ffn},
    {kLoraTargets[5], BlockLinear::down, &EncoderOptions::ffn, &EncoderOptions::dim},
}};

constexpr std::int64_t kLinears = 4;  // values of BlockLinear

struct Update {
  Parameter *a = nullptr, *b = nullptr;  // [r, in], [out, r]; null where the matrix has no update
};
using Layer = std::array<Update, kTargets.size()>;

class Lora : public BlockExtension {
 public:
  explicit Lora(const EncoderOptions& options) : options_(options), of_tasks_(options.share == Sharing::task_lora) {}

  bool add_shared_parts(Arena& encoder, std::int64_t block, std::int64_t /*tasks*/,
                        const BlockForm& /*form*/) override {
    if (!of_tasks_) layers_.push_back(add(encoder, fmt::format("layers.{}.lora", block)));
    return false;
  }

  std::unique_ptr<TaskParts> add_task_parts(Arena& head) const override {
    if (!of_tasks_) return nullptr;
    auto parts = std::make_unique<TaskLayers<Layer>>();
    for (std::int64_t i = 0; i < options_.layers; ++i)
      parts->layers.push_back(add(head, fmt::format("encoder.layers.{}.lora", i)));
    return parts;
  }

  torch::Tensor linear(BlockLinear layer, const torch::Tensor& input, const torch::Tensor& value,
                       const BlockContext& context) const override {
    if (std::ranges::none_of(kTargets, [&](const Target& t) { return t.layer == layer && chosen(t); })) return value;
    const std::int64_t site = context.extension_site + kLinears * context.block + static_cast<std::int64_t>(layer);
    const torch::Tensor x = dropout_add(input, {}, context.keys, site, options_.lora_dropout);
    if (!of_tasks_) return value + change(layers_[static_cast<std::size_t>(context.block)], layer, x);
    const auto rows = x.split_with_sizes(row_counts(context.tasks));
    std::vector<torch::Tensor> changes;
    for (std::size_t k = 0; k < rows.size(); ++k)
      changes.push_back(change(layer_of<Layer>(context.tasks[k], context), layer, rows[k]));
    return value + torch::cat(changes);
  }

  bool merge(std::map<std::string, torch::Tensor>& tensors, const TaskParts* parts) const override {
    if (of_tasks_ && parts == nullptr) return false;
    const auto& layers = of_tasks_ ? static_cast<const TaskLayers<Layer>&>(*parts).layers : layers_;
    for (std::size_t i = 0; i < layers.size(); ++i)
      for (std::size_t t = 0; t < kTargets.size(); ++t) {
        const auto& [a, b] = layers[i][t];
        if (a == nullptr) continue;
        torch::Tensor& whole = tensors.at(fmt::format("layers.{}.{}.weight", i, kMatrices[t]));
        const std::int64_t out = options_.*kTargets[t].out;
        const std::int64_t first = kTargets[t].layer == BlockLinear::qkv ? static_cast<std::int64_t>(t) * out : 0;
        whole = whole.clone();
        whole.narrow(0, first, out).add_(at::mm(b->tensor.detach(), a->tensor.detach()), scale());
        if (!of_tasks_)
          for (const char* part : {"a", "b"})
            tensors.erase(fmt::format("layers.{}.lora.{}.{}", i, kTargets[t].name, part));
      }
    return true;
  }

  std::int64_t dropout_sites() const override { return options_.lora_dropout > 0 ? kLinears * options_.layers : 0; }

  SharingCost cost() const override {
    SharingCost cost;
    for (const Target& target : kTargets) {
      if (!chosen(target)) continue;
      const auto [in, out, rank, layers] =
          as_doubles(options_.*target.in, options_.*target.out, options_.lora_rank, options_.layers);
      cost.multiplications += layers * rank * (in + out);
      cost.kept += layers * (rank + out);
    }
    return cost;
  }

 private:
  static constexpr std::array<std::string_view, kTargets.size()> kMatrices = {
      "attention.qkv", "attention.qkv", "attention.qkv", "attention.out", "ffn.up", "ffn.down"};

  bool chosen(const Target& target) const { return std::ranges::count(options_.lora_targets, target.name) > 0; }
  double scale() const { return options_.lora_alpha / static_cast<double>(options_.lora_rank); }

  Layer add(Arena& arena, const std::string& name) const {
    Layer layer;
    for (std::size_t t = 0; t < kTargets.size(); ++t) {
      if (!chosen(kTargets[t])) continue;
      const std::int64_t in = options_.*kTargets[t].in, out = options_.*kTargets[t].out;
      const std::string place = fmt::format("{}.{}", name, kTargets[t].name);
      layer[t].a = arena.normal(place + ".a", {options_.lora_rank, in}, 1 / std::sqrt(static_cast<double>(in)), true);
      layer[t].b = arena.constant(place + ".b", {out, options_.lora_rank}, 0);
    }
    return layer;
  }

  // Returns what the updates of one linear layer add to its value for the input x.
  torch::Tensor change(const Layer& layer, BlockLinear linear, const torch::Tensor& x) const {
    std::vector<torch::Tensor> parts;
    for (std::size_t t = 0; t < kTargets.size(); ++t) {
      if (kTargets[t].layer != linear) continue;
      const auto& [a, b] = layer[t];
      parts.push_back(a == nullptr ? x.new_zeros({x.size(0), options_.*kTargets[t].out})
                                   : at::linear(at::linear(x, a->tensor), b->tensor));
    }
    return (parts.size() == 1 ? parts[0] : torch::cat(parts, 1)) * scale();
  }

  EncoderOptions options_;
  bool of_tasks_;
  std::vector<Layer> layers_;  // of all tasks
};

}  // namespace

std::unique_ptr<BlockExtension> make_lora(const EncoderOptions& options) {
  return std::make_unique<Lora>(options);
}

}  // namespace polyhead
