// Checks the options of the model and the optimizer.
#include "core/model/options.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"

namespace polyhead {

void check(const EncoderOptions& options) {
  const auto fail = [](const std::string& message) { throw Error(Exit::config, message); };
  const bool bert = options.form == EncoderForm::bert;
  for (const auto& [key, value] :
       {std::pair("layers", options.layers), std::pair("dim", options.dim), std::pair("heads", options.heads),
        std::pair("ffn", options.ffn), std::pair("positions", options.positions)})
    if (value < 1) fail(fmt::format("encoder.{} = {}: it must be at least 1", key, value));
  if (bert && options.dim % options.heads != 0)
    fail(fmt::format("encoder.heads = {}: it must divide encoder.dim = {}", options.heads, options.dim));
  if (!bert && options.dim % (2 * options.heads) != 0)
    fail(
        fmt::format("encoder.dim = {} with encoder.heads = {}: dim / heads must be an even whole number, as rotary "
                    "positions turn pairs of channels",
                    options.dim, options.heads));
  if (!(options.dropout >= 0 && options.dropout < 1))
    fail(fmt::format("encoder.dropout = {}: it must lie in [0, 1)", options.dropout));
  if (!(options.attention_dropout >= 0 && options.attention_dropout < 1))
    fail(fmt::format("encoder.attention_dropout = {}: it must lie in [0, 1)", options.attention_dropout));
  if (!(options.drop_path >= 0 && options.drop_path < 1))
    fail(fmt::format("encoder.drop_path = {}: it must lie in [0, 1)", options.drop_path));
  for (const auto& [key, value] :
       {std::pair("adapter_dim", options.adapter_dim), std::pair("experts", options.experts),
        std::pair("expert_layers", options.expert_layers), std::pair("task_experts", options.task_experts)})
    if (value < 1) fail(fmt::format("encoder.{} = {}: it must be at least 1", key, value));
  if (options.share != Sharing::mmoe && options.share != Sharing::ple) return;
  if (options.ffn % options.experts != 0)
    fail(fmt::format(
        "encoder.experts = {} with encoder.ffn = {}: experts must divide ffn, as each is ffn / experts wide",
        options.experts, options.ffn));
  if (options.expert_layers > options.layers)
    fail(fmt::format("encoder.expert_layers = {} with encoder.layers = {}: the encoder has fewer blocks",
                     options.expert_layers, options.layers));
}

void check_length(const EncoderOptions& options, std::uint64_t length, const std::string& what,
                  const std::string& cure) {
  if (options.form != EncoderForm::bert || length <= static_cast<std::uint64_t>(options.positions)) return;
  throw Error(Exit::config, fmt::format("{}: encoder.form = bert has {} positions, so longer inputs do not fit; {}",
                                        what, options.positions, cure));
}

void check(const AttentionOptions& options, std::int64_t dim) {
  if (options.heads < 1 || dim % options.heads != 0)
    throw Error(Exit::config, fmt::format("attention.heads = {}: it must divide encoder.dim = {}", options.heads, dim));
  if (!(options.temperature > 0))
    throw Error(Exit::config, fmt::format("attention.temperature = {}: it must be above 0", options.temperature));
  if (!(options.floor >= 0 && options.floor < 1))
    throw Error(Exit::config, fmt::format("attention.floor = {}: it must lie in [0, 1)", options.floor));
  if (!(options.entropy_bonus >= 0 && std::isfinite(options.entropy_bonus)))
    throw Error(Exit::config,
                fmt::format("attention.entropy_bonus = {}: it must be at least 0 (0: none)", options.entropy_bonus));
  if (options.entropy_bonus > 0 && !has_queries(options.mode))
    throw Error(Exit::config, fmt::format("attention.entropy_bonus = {}: the weights of attention.mode = {} are not "
                                          "learned; use competitive or independent, or a bonus of 0",
                                          options.entropy_bonus, name_of(options.mode)));
  for (const double importance : options.importances)
    if (!(importance > 0 && std::isfinite(importance)))
      throw Error(Exit::config, fmt::format("task.NAME.importance = {}: it must be above 0", importance));
  const bool fixed = options.importance == Importance::fixed;
  if (options.mode != AttentionMode::competitive && (fixed || !options.importances.empty()))
    throw Error(Exit::config,
                fmt::format("attention.mode = {} has no importances; leave out {}, or use competitive",
                            name_of(options.mode), fixed ? "attention.importance = fixed" : "task.NAME.importance"));
}

void check(const OptimizerOptions& options) {
  const auto require = [](bool good, const char* key, double value, const char* expected) {
    if (!good) throw Error(Exit::config, fmt::format("optimizer.{} = {}: it must {}", key, value, expected));
  };
  require(options.lr > 0 && std::isfinite(options.lr), "lr", options.lr, "be above 0");
  require(options.warmup >= 0, "warmup", static_cast<double>(options.warmup), "be at least 0");
  require(options.layer_decay > 0 && options.layer_decay <= 1, "layer_decay", options.layer_decay, "lie in (0, 1]");
  require(options.weight_decay >= 0, "weight_decay", options.weight_decay, "be at least 0");
  require(options.beta1 >= 0 && options.beta1 < 1, "beta1", options.beta1, "lie in [0, 1)");
  require(options.beta2 >= 0 && options.beta2 < 1, "beta2", options.beta2, "lie in [0, 1)");
  require(options.epsilon > 0, "epsilon", options.epsilon, "be above 0");
  require(options.clip >= 0, "clip", options.clip, "be at least 0 (0: no bound)");
  require(options.head_clip >= 0, "head_clip", options.head_clip, "be at least 0 (0: no bound)");
  require(options.ema >= 0 && options.ema < 1, "ema", options.ema, "lie in [0, 1)");
}

}  // namespace polyhead
