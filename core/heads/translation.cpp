// Translation: a pre-norm decoder whose cross-attention uses the task's word weights, and a search with a key/value
// cache.
#include "core/heads/translation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/heads/beam_search.h"
#include "core/model/packed_attention.h"
#include "core/model/task_attention.h"

namespace polyhead {
namespace {

// Returns softmax(q k^T / sqrt(width)) v, [rows, heads * width]. q: [rows, heads, width]; k, v: [rows, heads, steps,
// width].
torch::Tensor read_cache(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v) {
  const torch::Tensor scores =
      at::matmul(q.unsqueeze(2), k.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(2)));
  return at::matmul(at::softmax(scores, -1), v).reshape({q.size(0), -1});
}

}  // namespace

TranslationHead::TranslationHead(HeadSpec spec) : Head(std::move(spec)) {
  const std::int64_t dim = spec_.encoder.dim, heads = spec_.encoder.heads, ffn = spec_.encoder.ffn;
  if (dim % (2 * heads) != 0)
    throw Error(
        Exit::config,
        fmt::format("task {}: encoder.dim = {} with encoder.heads = {}: dim / heads must be even where there is "
                    "translation, as its decoder's rotary positions turn pairs of channels",
                    spec_.task, dim, heads));
  const double gain = 1 / std::sqrt(3.0 * static_cast<double>(spec_.options.decoder_layers));
  const BlockForm form{.gain = gain};
  for (std::int64_t i = 0; i < spec_.options.decoder_layers; ++i) {
    const std::string name = fmt::format("layers.{}", i);
    layers_.push_back(
        {SelfAttention(arena_, name + ".self", dim, heads, form), LayerNorm(arena_, name + ".cross.norm", dim),
         Linear(arena_, name + ".cross.query", dim, dim), Linear(arena_, name + ".cross.key_value", dim, 2 * dim),
         Linear(arena_, name + ".cross.out", dim, dim, gain), FeedForward(arena_, name + ".ffn", dim, ffn, form)});
  }
  norm_ = LayerNorm(arena_, "norm", dim);
  no_word_ = arena_.normal("no_word", {1, dim}, 1, false);
  bias_ = arena_.constant("bias", {spec_.vocab_size}, 0);
}

TranslationHead::Memory TranslationHead::memory(const HeadInput& input) const {
  const std::vector<std::int64_t>& offsets = input.segments.offsets;
  const std::int64_t tokens = input.segments.tokens();
  std::vector<std::int64_t> rows, extended = {0};
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    for (std::int64_t row = offsets[i]; row < offsets[i + 1]; ++row) rows.push_back(row);
    rows.push_back(tokens);  // the extra position
    extended.push_back(std::ssize(rows));
  }
  const torch::Tensor index = to_device(rows, input.states);
  const torch::Tensor bias = torch::cat({input.weights.mean(0).clamp_min(kLeastWeight).log(),
                                         torch::full({1}, std::log(kDelta), input.states.options())});
  return {torch::cat({input.states, no_word_->tensor}).index_select(0, index), bias.index_select(0, index),
          Segments::from(std::move(extended), input.states.device())};
}

// Without the factor sqrt(dim). The same table is the output layer, so a large copy of the last token in the residual
// stream would make the decoder repeat it, and most of the training would be needed to unlearn that.
torch::Tensor TranslationHead::embed(const HeadInput& input, const torch::Tensor& tokens) const {
  return at::embedding(input.embedding, tokens);
}

torch::Tensor TranslationHead::decode(const HeadInput& input, const TaskSlice& slice) const {
  const std::int64_t dim = spec_.encoder.dim, heads = spec_.encoder.heads;
  const double dropout = spec_.options.dropout, attention_dropout = spec_.encoder.attention_dropout;
  const Segments targets = Segments::from(slice.target_offsets, input.states.device());
  // The decoder reads "bos t_0 … t_n-2" to predict "t_0 … t_n-1".
  std::vector<std::int64_t> shifted(slice.target_tokens.size());
  for (std::size_t i = 0; i + 1 < slice.target_offsets.size(); ++i)
    for (auto at = static_cast<std::size_t>(slice.target_offsets[i]);
         at < static_cast<std::size_t>(slice.target_offsets[i + 1]); ++at)
      shifted[at] = at == static_cast<std::size_t>(slice.target_offsets[i]) ? spec_.bos : slice.target_tokens[at - 1];
  const DropoutKeys keys =
      input.sample_keys.empty()
          ? DropoutKeys()
          : DropoutKeys(targets, input.sample_keys, 1,
                        1 + (attention_dropout > 0 ? 5 : 3) * spec_.options.decoder_layers, input.states.device());
  const Memory memory = this->memory(input);
  torch::Tensor x = dropout_add(embed(input, to_device(shifted, input.states)), {}, keys, 0, dropout);
  const BlockContext context{.segments = targets,
                             .rotary = Rotary::at(targets.positions, dim / heads, x.scalar_type()),
                             .causal = true,
                             .keys = keys,
                             .dropout = dropout,
                             .attention_dropout = attention_dropout,
                             .sites = {},
                             .tasks = {}};
  const Rotary source = Rotary::at(memory.segments.positions, dim / heads, x.scalar_type());
  std::int64_t site = 1, attention_site = 1 + 3 * spec_.options.decoder_layers;
  for (const Layer& layer : layers_) {
    x = layer.self(x, context, {.branch = site++, .weights = attention_site++});
    const torch::Tensor q = layer.query(layer.norm(x)).view({-1, heads, dim / heads});
    const auto kv = layer.key_value(memory.states).view({-1, 2, heads, dim / heads}).unbind(1);
    const torch::Tensor read =
        packed_attention(rotate(q, context.rotary), rotate(kv[0], source), kv[1], memory.bias, targets, memory.segments,
                         false, keys.attention(attention_site++, attention_dropout));
    x = dropout_add(layer.out(read.view({-1, dim})), x, keys, site++, dropout);
    x = layer.feed_forward(x, context, {.branch = site++});
  }
  return norm_(x);
}

torch::Tensor TranslationHead::losses(const HeadInput& input, const TaskSlice& slice,
                                      const Distillation* teacher) const {
  return tied_cross_entropy(decode(input, slice), input.embedding, bias_->tensor,
                            to_device(slice.target_tokens, input.states), spec_.options.label_smoothing, teacher,
                            weights_of(slice, input.states));
}

torch::Tensor TranslationHead::loss(const HeadInput& input, const TaskSlice& slice) const {
  return weighted(losses(input, slice, nullptr), slice).sum();
}

torch::Tensor TranslationHead::outputs(const HeadInput& input, const TaskSlice& slice) const {
  return at::addmm(bias_->tensor, decode(input, slice), input.embedding.t());
}

torch::Tensor TranslationHead::distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                              const Distillation& teacher) const {
  return weighted(losses(input, slice, &teacher), slice).sum();
}

Scored TranslationHead::score(const HeadInput& input, const TaskSlice& slice) const {
  return score_targets(outputs(input, slice), slice.target_tokens, slice.target_offsets);
}

Predicted TranslationHead::generate(const HeadInput& input, const SearchOptions& options) const {
  const std::int64_t dim = spec_.encoder.dim, heads = spec_.encoder.heads, width = dim / heads;
  const Memory memory = this->memory(input);
  std::vector<std::int64_t> limits;
  for (std::size_t i = 0; i + 1 < input.segments.offsets.size(); ++i)
    limits.push_back(
        std::min(spec_.options.max_target, 2 * (input.segments.offsets[i + 1] - input.segments.offsets[i]) + 8));
  struct Cache {
    torch::Tensor k, v;              // [rows, heads, steps, width]
    torch::Tensor cross_k, cross_v;  // [tokens of the memory, heads, width]: per sentence, not per row
  };
  std::vector<Cache> caches;
  const Rotary source = Rotary::at(memory.segments.positions, width, input.states.scalar_type());
  for (const Layer& layer : layers_) {
    const auto kv = layer.key_value(memory.states).view({-1, 2, heads, width}).unbind(1);
    const torch::Tensor none = torch::empty({input.segments.sequences(), heads, 0, width}, input.states.options());
    caches.push_back({none, none, rotate(kv[0], source), kv[1]});
  }

  BeamSearch search(options, std::move(limits), spec_.bos, spec_.eos);
  for (std::int64_t step = 0; !search.done(); ++step) {
    // A sentence that is done has no rows, so its words do not cost anything.
    const Segments prefixes = Segments::from(search.offsets(), input.states.device());
    const std::int64_t rows = prefixes.tokens();
    torch::Tensor x = embed(input, to_device(search.last_tokens(), input.states));
    const Rotary rotary = Rotary::at(torch::full({rows}, step, input.tokens.options()), width, x.scalar_type());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      Cache& cache = caches[i];
      const auto parts = layer.self.qkv(layer.self.residual.norm(x)).view({rows, 3, heads, width}).unbind(1);
      cache.k = torch::cat({cache.k, rotate(parts[1], rotary).unsqueeze(2)}, 2);
      cache.v = torch::cat({cache.v, parts[2].unsqueeze(2)}, 2);
      x = x + layer.self.out(read_cache(rotate(parts[0], rotary), cache.k, cache.v));
      const torch::Tensor q = rotate(layer.query(layer.norm(x)).view({rows, heads, width}), rotary);
      const torch::Tensor read =
          packed_attention(q, cache.cross_k, cache.cross_v, memory.bias, prefixes, memory.segments, false);
      x = layer.feed_forward(x + layer.out(read.view({rows, dim})), BlockContext());
    }
    const torch::Tensor logits = at::addmm(bias_->tensor, norm_(x), input.embedding.t());
    const std::int64_t most = std::min(options.beam, logits.size(1));
    const auto [value, token] = most == 1 ? logits.max(1, true) : logits.topk(most, 1);
    const std::vector<std::int64_t> parents = search.advance(
        to_host(token), to_host_double(value - logits.logsumexp(1, true)), static_cast<std::size_t>(most));

    std::vector<std::int64_t> same(static_cast<std::size_t>(rows));
    std::iota(same.begin(), same.end(), 0);
    if (parents == same) continue;
    const torch::Tensor index = to_device(parents, input.states);
    for (Cache& cache : caches) {
      cache.k = cache.k.index_select(0, index);
      cache.v = cache.v.index_select(0, index);
    }
  }
  Predicted predicted;
  for (const BeamSearch::Hypothesis& best : search.best()) {
    predicted.ids.push_back(best.tokens);
    predicted.values.push_back(best.log_probability);
  }
  return predicted;
}

}  // namespace polyhead
