// The optimizers of the encoder and of the heads that a worker holds, and the norms by which gradients are clipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "core/heads/model.h"
#include "core/optimizer/adamw.h"
#include "core/optimizer/task_buffers.h"
#include "distributed/communicator/communicator.h"
#include "distributed/options.h"
#include "distributed/step/step_record.h"

namespace polyhead {

// Returns the options of the optimizer of a task's head: options.optimizer, with what the task has of its own
// (task.NAME.lr, warmup and weight_decay).
OptimizerOptions head_optimizer(const TrainOptions& options, std::size_t task);

// Whether the encoder is not trained in a step, counted from 1.
bool encoder_frozen(const TrainOptions& options, std::int64_t step);

// Whether autograd computes gradients of an arena's trainable parameters, as it does at first. Without them, the
// gradients in the arena's buffer stay as they are.
void require_gradients(const Arena& arena, bool required);

struct GradientNorms {
  double encoder = 0;                   // 0 while the encoder is frozen
  std::map<std::size_t, double> heads;  // by task; only active ones
  bool finite = true;                   // all of them
};

// The norms of the summed gradients that this worker holds; of the encoder, only of its slice if step.square is set.
GradientNorms gradient_norms(const Model& model, const StepRecord& step);

struct Optimizers {
  AdamW encoder;
  std::map<std::size_t, AdamW> heads;  // by task
  bool in_parts = false;               // sharded: each worker updates a part of the encoder (sharding.h)
  TaskBuffers task_buffers = {};       // of the balancer; saved and loaded with the moments

  // part: the range of the encoder's arena that this worker updates; null: all of it
  explicit Optimizers(const Model& model, const OptimizerOptions& options = {}, const IndexRange* part = nullptr);

  // Clips the gradients, and updates the encoder, unless it is frozen, and the heads that have a norm. step: its number
  // from 1, for the learning rates. Collective if the optimizer is sharded.
  void update(Model& model, const GradientNorms& norms, const TrainOptions& options, std::int64_t step,
              Communicator& world);
};

}  // namespace polyhead
