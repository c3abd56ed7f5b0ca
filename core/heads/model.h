// The part of the model that one worker holds: the whole encoder, and the heads of its tasks.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "core/base/batch.h"
#include "core/heads/head.h"
#include "core/model/encoder.h"

namespace polyhead {

class Model {
 public:
  // tasks: number of tasks that the encoder is trained with. heads() is by the index of the task.
  Model(const EncoderOptions& encoder, const AttentionOptions& attention, std::int64_t vocab_size, std::int64_t tasks,
        const InputOptions& inputs = {})
      : encoder_(encoder, attention, vocab_size, tasks, inputs) {}

  Encoder& encoder() { return encoder_; }
  const Encoder& encoder() const { return encoder_; }
  void add_head(std::size_t task, std::unique_ptr<Head> head) { heads_[task] = std::move(head); }
  Head& head(std::size_t task) const { return *heads_.at(task); }
  const std::map<std::size_t, std::unique_ptr<Head>>& heads() const { return heads_; }

  // Allocates all parameters and sets their initial values, which depend only on (seed, owner, name).
  // encoder_gradients: see Arena::finish().
  void finish(std::uint64_t seed, torch::TensorOptions options, void* encoder_gradients = nullptr);

  // Runs the encoder once over the packed batch, which must not be empty. Returns the inputs of the heads of its
  // slices, in their order. Throws Error(internal) if tasks own parts of the encoder and this worker does not hold the
  // head of a slice.
  std::vector<HeadInput> forward(const Batch& batch, bool training) const;

 private:
  std::vector<TaskRows> task_rows(const Batch& batch) const;

  Encoder encoder_;
  std::map<std::size_t, std::unique_ptr<Head>> heads_;
};

}  // namespace polyhead
