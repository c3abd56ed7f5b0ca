// The part of the model that one worker holds: the whole encoder and the heads of its tasks.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "core/base/batch.h"
#include "core/heads/head.h"
#include "core/model/encoder.h"

namespace polyhead {

class Model {
 public:
  // heads: by the task's index. tasks: all that the encoder is trained with.
  Model(const EncoderOptions& encoder, const AttentionOptions& attention, std::int64_t vocab_size, std::int64_t tasks,
        const InputOptions& inputs = {})
      : encoder_(encoder, attention, vocab_size, tasks, inputs) {}

  Encoder& encoder() { return encoder_; }
  const Encoder& encoder() const { return encoder_; }
  void add_head(int task, std::unique_ptr<Head> head) { heads_[task] = std::move(head); }
  Head& head(int task) const { return *heads_.at(task); }
  const std::map<int, std::unique_ptr<Head>>& heads() const { return heads_; }

  // Makes all parameters with their starting values, which depend on (seed, owner, name) alone. `encoder_gradients`:
  // see Arena::finish.
  void finish(std::uint64_t seed, torch::TensorOptions options, void* encoder_gradients = nullptr);

  // One packed pass of the encoder over the batch; the inputs of its slices' heads, in their order. The batch is not
  // empty. Throws Error(internal) when tasks own parts of the encoder and a slice's head is not here.
  std::vector<HeadInput> forward(const Batch& batch, bool training) const;

 private:
  std::vector<TaskRows> task_rows(const Batch& batch) const;

  Encoder encoder_;
  std::map<int, std::unique_ptr<Head>> heads_;
};

}  // namespace polyhead
