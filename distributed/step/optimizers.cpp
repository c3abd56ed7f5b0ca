// One AdamW per arena.
#include "distributed/step/optimizers.h"

#include <cmath>

#include "distributed/step/sharding.h"

namespace polyhead {

OptimizerOptions head_optimizer(const TrainOptions& options, std::size_t task) {
  const TaskOptions& own = options.task_options.at(options.tasks.at(task));
  OptimizerOptions head = options.optimizer;
  head.lr = own.lr.value_or(head.lr);
  head.warmup = own.warmup.value_or(head.warmup);
  head.weight_decay = own.weight_decay.value_or(head.weight_decay);
  return head;
}

bool encoder_frozen(const TrainOptions& options, std::int64_t step) {
  return step <= options.freeze_encoder;
}

void require_gradients(const Arena& arena, bool required) {
  for (const Parameter& parameter : arena.parameters())
    if (parameter.trainable) parameter.tensor.set_requires_grad(required);
}

GradientNorms gradient_norms(const Model& model, const StepRecord& step) {
  GradientNorms norms;
  norms.encoder = step.square ? std::sqrt(*step.square) : flat_norm(model.encoder().arena().gradients());
  norms.finite = std::isfinite(norms.encoder);
  for (const auto& [task, head] : model.heads()) {
    if (!step.active(task)) continue;
    const double norm = norms.heads[task] = flat_norm(head->arena().gradients());
    norms.finite = norms.finite && std::isfinite(norm);
  }
  return norms;
}

Optimizers::Optimizers(const Model& model, const OptimizerOptions& options, const IndexRange* part)
    : encoder(model.encoder().arena(), layer_scales(model.encoder().arena(), options.layer_decay), options.ema > 0,
              part),
      in_parts(part != nullptr) {
  for (const auto& [task, head] : model.heads()) heads.emplace(task, AdamW(head->arena(), {}, options.ema > 0));
}

void Optimizers::update(Model& model, const GradientNorms& norms, const TrainOptions& options, std::int64_t step,
                        Communicator& world) {
  const OptimizerOptions& shared = options.optimizer;
  if (!encoder_frozen(options, step)) {
    Arena& arena = model.encoder().arena();
    encoder.step(arena, shared, learning_rate(shared, step, options.steps), clip_scale(norms.encoder, shared.clip));
    if (in_parts) share_parts(world, arena.values(), "encoder.values");
  }
  for (const auto& [task, norm] : norms.heads) {
    const OptimizerOptions own = head_optimizer(options, task);
    heads.at(task).step(model.head(task).arena(), own, learning_rate(own, step, options.steps),
                        clip_scale(norm, own.head_clip));
  }
}

}  // namespace polyhead
