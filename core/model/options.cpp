// Checks the options of the model and the optimizer.
#include "core/model/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"

namespace polyhead {

void check(const EncoderOptions& options) {
  check_ranges("encoder", options);
  const auto fail = [](const std::string& message) { throw Error(Exit::config, message); };
  const bool bert = options.form == EncoderForm::bert;
  if (bert && options.dim % options.heads != 0)
    fail(fmt::format("encoder.heads = {}: it must divide encoder.dim = {}", options.heads, options.dim));
  if (!bert && options.dim % (2 * options.heads) != 0)
    fail(
        fmt::format("encoder.dim = {} with encoder.heads = {}: dim / heads must be an even whole number, as rotary "
                    "positions turn pairs of channels",
                    options.dim, options.heads));
  if (options.frozen_blocks > options.layers)
    fail(fmt::format("encoder.frozen_blocks = {} with encoder.layers = {}: the encoder has fewer blocks",
                     options.frozen_blocks, options.layers));
  if (is_lora(options.share)) {
    const auto& targets = options.lora_targets;
    for (const std::string& target : targets)
      if (std::ranges::count(kLoraTargets, target) == 0 || std::ranges::count(targets, target) > 1)
        fail(fmt::format("encoder.lora_targets has '{}' {}; give some of {}, each once", target,
                         std::ranges::count(targets, target) > 1 ? "twice" : "in it", fmt::join(kLoraTargets, ", ")));
    if (targets.empty())
      fail(fmt::format("encoder.lora_targets is empty; give some of {}", fmt::join(kLoraTargets, ", ")));
    if (options.frozen_blocks > 0)
      fail(fmt::format("encoder.frozen_blocks = {}: with encoder.share = {} all blocks are frozen; leave it out",
                       options.frozen_blocks, name_of(options.share)));
  }
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
  check_ranges("attention", options);
  if (dim % options.heads != 0)
    throw Error(Exit::config, fmt::format("attention.heads = {}: it must divide encoder.dim = {}", options.heads, dim));
  if (options.entropy_bonus > 0 && !has_queries(options.mode))
    throw Error(Exit::config, fmt::format("attention.entropy_bonus = {}: the weights of attention.mode = {} are not "
                                          "learned; use competitive or independent, or a bonus of 0",
                                          options.entropy_bonus, name_of(options.mode)));
  for (const double importance : options.importances)
    if (!within(importance, ">0"))
      throw Error(Exit::config, fmt::format("task.NAME.importance = {}: it must be above 0", importance));
  const bool fixed = options.importance == Importance::fixed;
  if (options.mode != AttentionMode::competitive && (fixed || !options.importances.empty()))
    throw Error(Exit::config,
                fmt::format("attention.mode = {} has no importances; leave out {}, or use competitive",
                            name_of(options.mode), fixed ? "attention.importance = fixed" : "task.NAME.importance"));
}

void check(const OptimizerOptions& options) {
  check_ranges("optimizer", options);
}

}  // namespace polyhead
