// One AdamW per arena.
#include "distributed/step/optimizers.h"

#include <cmath>

#include "distributed/step/sharding.h"

namespace polyhead {

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

void Optimizers::update(Model& model, const GradientNorms& norms, const OptimizerOptions& options, double lr,
                        Communicator& world) {
  Arena& shared = model.encoder().arena();
  encoder.step(shared, options, lr, clip_scale(norms.encoder, options.clip));
  if (in_parts) share_parts(world, shared.values(), "encoder.values");
  for (const auto& [task, norm] : norms.heads)
    heads.at(task).step(model.head(task).arena(), options, lr, clip_scale(norm, options.head_clip));
}

}  // namespace polyhead
