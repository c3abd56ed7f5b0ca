// Code shared by all heads: splitting the encoder's output by task, and cross-entropy with an output layer that is the
// token table.
#include "core/heads/head.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/heads/plain_loss.h"
#include "core/model/staging.h"
#include "core/model/task_attention.h"

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct TiedCrossEntropy : torch::autograd::Function<TiedCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& table, const Tensor& bias,
                        const Tensor& targets, double smoothing, const Distillation* teacher, const Tensor* weights) {
    Tensor logits = at::addmm(bias, hidden, table.t());
    const Tensor index = targets.unsqueeze(1);
    const Tensor normaliser = at::logsumexp(logits, {1});
    const Tensor target = logits.gather(1, index).squeeze(1);
    Tensor loss = normaliser - (1 - smoothing) * target;
    if (smoothing > 0 && PlainLoss::wanted()) {
      const Tensor plain = normaliser - target;
      PlainLoss::report((weights->defined() ? plain * *weights : plain).sum());
    }
    if (smoothing > 0) loss -= smoothing * logits.mean(1);
    Tensor divergence, d_divergence;
    if (teacher != nullptr) {
      const double t = teacher->temperature;
      const Tensor log_p = at::log_softmax(teacher->outputs.to(hidden.scalar_type()) / t, 1);
      const Tensor log_q = at::log_softmax(logits / t, 1);
      d_divergence = log_p.exp();
      divergence = t * t * (d_divergence * (log_p - log_q)).sum(1);
      // t^2 d KL(p || q) / d logits = t (q - p)
      d_divergence.neg_().add_(log_q.exp()).mul_(t);
    }
    // d loss / d logits = softmax - (1 - smoothing) [target] - smoothing / vocabulary
    logits.sub_(normaliser.unsqueeze(1)).exp_();
    if (smoothing > 0) logits.sub_(smoothing / static_cast<double>(table.size(0)));
    logits.scatter_add_(1, index, torch::full_like(index, smoothing - 1, hidden.options()));
    if (teacher != nullptr) {
      loss = teacher->mix(loss, divergence);
      logits = teacher->mix(logits, d_divergence);
    }
    context->save_for_backward({hidden, table, logits});
    return loss;
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const auto saved = context->get_saved_variables();
    const Tensor d_logits = saved[2] * gradient[0].unsqueeze(1);
    return {at::mm(d_logits, saved[1]),
            at::mm(d_logits.t(), saved[0]),
            d_logits.sum(0),
            Tensor(),
            Tensor(),
            Tensor(),
            Tensor()};
  }
};

[[noreturn]] void cannot_be_distilled(const HeadSpec& spec) {
  throw Error(Exit::config, fmt::format("task {}: its kind of head ({}) cannot be distilled; leave out task.{}.teacher",
                                        spec.task, name_of(spec.kind), spec.task));
}

}  // namespace

Head::Head(HeadSpec spec) : spec_(std::move(spec)) {
  if (const auto extension = make_extension(spec_.encoder)) encoder_parts_ = extension->add_task_parts(arena_);
}

torch::Tensor Head::outputs(const HeadInput& /*input*/, const TaskSlice& /*slice*/) const {
  cannot_be_distilled(spec_);
}

torch::Tensor Head::distilled_loss(const HeadInput& /*input*/, const TaskSlice& /*slice*/,
                                   const Distillation& /*teacher*/) const {
  cannot_be_distilled(spec_);
}

torch::Tensor tied_cross_entropy(const Tensor& hidden, const Tensor& table, const Tensor& bias, const Tensor& targets,
                                 double smoothing, const Distillation* teacher, const Tensor& weights) {
  // As a pointer, because autograd refuses an undefined tensor.
  return TiedCrossEntropy::apply(hidden, table, bias, targets, smoothing, teacher, &weights);
}

torch::Tensor weighted(const Tensor& losses, const TaskSlice& slice) {
  if (slice.weights.empty()) return losses;
  std::vector<std::int64_t> shape(static_cast<std::size_t>(losses.dim()), 1);
  shape.front() = losses.size(0);
  return losses * to_device(slice.weights, losses).view(shape);
}

torch::Tensor weights_of(const TaskSlice& slice, const Tensor& like) {
  return slice.weights.empty() ? Tensor() : to_device(slice.weights, like);
}

Scored score_targets(const Tensor& logits, const std::vector<std::int64_t>& targets,
                     const std::vector<std::int64_t>& offsets) {
  const auto loss =
      to_host_double(at::cross_entropy_loss(logits, to_device(targets, logits), {}, at::Reduction::None, kIgnore));
  Scored scored{.loss = {}, .count = {}, .predicted = to_host(logits.argmax(1)), .values = {}};
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    double& sum = scored.loss.emplace_back(0);
    std::int64_t& count = scored.count.emplace_back(0);
    for (auto at = static_cast<std::size_t>(offsets[i]); at < static_cast<std::size_t>(offsets[i + 1]); ++at) {
      if (targets[at] == kIgnore) continue;
      sum += loss[at];
      ++count;
    }
  }
  return scored;
}

torch::Tensor to_device(const std::vector<std::int64_t>& values, const Tensor& like) {
  const Tensor host = staging({std::ssize(values)}, torch::kInt64, like.device());
  std::copy(values.begin(), values.end(), host.data_ptr<std::int64_t>());
  return host.to(like.device(), true);
}

torch::Tensor to_device(const std::vector<double>& values, const Tensor& like) {
  return torch::tensor(values, torch::kFloat64).to(like.options());
}

std::vector<std::int64_t> to_host(const Tensor& values) {
  const Tensor host = values.to(torch::kInt64).cpu().contiguous();
  return {host.data_ptr<std::int64_t>(), host.data_ptr<std::int64_t>() + host.numel()};
}

std::vector<double> to_host_double(const Tensor& values) {
  const Tensor host = values.to(torch::kFloat64).cpu().contiguous();
  return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
}

std::vector<HeadInput> head_inputs(const Encoder& encoder, const Encoder::Output& output, const Tensor& tokens,
                                   const Batch& batch, bool training) {
  std::vector<std::int64_t> rows;
  std::vector<HeadInput> inputs;
  for (const TaskSlice& slice : batch.slices) {
    const auto first = static_cast<std::size_t>(slice.first_sequence),
               last = first + static_cast<std::size_t>(slice.sequences);
    std::vector<std::int64_t> offsets(batch.offsets.begin() + slice.first_sequence,
                                      batch.offsets.begin() + static_cast<std::int64_t>(last) + 1);
    for (std::int64_t& offset : offsets) offset -= batch.offsets[first];
    rows.push_back(offsets.back());
    HeadInput input{.states = {},
                    .weights = {},
                    .task_weights = {},
                    .delta = encoder.attention().mode == AttentionMode::competitive ? kDelta : 0,
                    .tokens = {},
                    .embedding = encoder.embedding(),
                    .segments = Segments::from(std::move(offsets), tokens.device()),
                    .sample_keys = {},
                    .second = std::vector<std::int64_t>(static_cast<std::size_t>(slice.sequences), 0)};
    for (std::size_t i = first; i < std::min(last, batch.second.size()); ++i) input.second[i - first] = batch.second[i];
    if (training)
      input.sample_keys.assign(batch.keys.begin() + slice.first_sequence,
                               batch.keys.begin() + static_cast<std::int64_t>(last));
    inputs.push_back(std::move(input));
  }
  // split instead of one view per task, because its backward is a single pass.
  const auto states = output.states.split_with_sizes(rows), token_rows = tokens.split_with_sizes(rows);
  const auto weights = output.weights.split_with_sizes(rows, 1);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs[i].states = states[i];
    inputs[i].tokens = token_rows[i];
    inputs[i].task_weights = weights[i];
    inputs[i].weights = weights[i].select(2, encoder.slot(batch.slices[i].task));
  }
  return inputs;
}

}  // namespace polyhead
