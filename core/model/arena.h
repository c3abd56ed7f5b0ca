// One flat arena per owner (the encoder, each head). Parameters are views into one buffer and their gradients views
// into another, so that reductions, clipping, AdamW, hashes and checkpoints can work on slices of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "core/model/torch.h"

namespace polyhead {

struct Parameter {
  std::string name;  // "layers.0.attention.qkv.weight"
  std::vector<std::int64_t> shape;
  double initial = 0;  // standard deviation of the normal initial values; with `constant`, the initial value itself
  bool constant = false;
  bool decay = false;     // whether weight decay applies
  bool trainable = true;  // false: no gradient is computed, and the optimizer does not change it
  std::int64_t depth =
      0;  // number of blocks from the top, for layer-wise learning rates: 0 above the blocks, 1 in the top block
  std::int64_t offset = 0;  // in the arena, in elements
  torch::Tensor tensor;     // a leaf; requires a gradient if it is trainable; defined by finish()

  std::int64_t size() const;  // elements, without padding
};

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Add a parameter; call them before finish(). The pointers stay valid. `trainable` may be changed until finish().
  Parameter* normal(const std::string& name, std::vector<std::int64_t> shape, double deviation, bool decay);
  Parameter* constant(const std::string& name, std::vector<std::int64_t> shape, double value);
  // Set the depth of the parameters that are added after this call, and whether they are trained.
  void set_depth(std::int64_t depth) { depth_ = depth; }
  void set_trainable(bool trainable) { trainable_ = trainable; }

  // Returns the number of elements of the buffer, padding included: each tensor starts at a multiple of 16 elements.
  // Parameters with weight decay come first.
  std::int64_t layout();
  // Allocates the buffers and sets the initial values, which depend only on (seed, owner, name). `gradient_memory`, if
  // given, is host memory of layout() elements for the gradients; it must outlive the arena.
  void finish(const std::string& owner, std::uint64_t seed, torch::TensorOptions options,
              void* gradient_memory = nullptr);

  const std::deque<Parameter>& parameters() const { return parameters_; }
  std::int64_t parameter_count() const;  // elements, without padding
  // Uses this buffer for the gradients. buffer: [layout()], with the type and device of the values.
  void bind_gradients(const torch::Tensor& buffer);
  // Registers the function that announce() calls; {} removes it. There is at most one.
  void on_complete(std::function<void(std::size_t)> listener) { listener_ = std::move(listener); }
  // Reports that backward has written the whole gradient of this parameter (its index in parameters()). Called by
  // autograd's hooks, or by code that writes gradients itself, on the thread that runs backward.
  void announce(std::size_t parameter) const {
    if (listener_) listener_(parameter);
  }

  torch::Tensor values() const { return values_; }
  torch::Tensor gradients() const { return gradients_; }

  // Throws std::logic_error when autograd has replaced the memory of a gradient (create_graph, or a gradient set to
  // undefined).
  void check_gradients() const;
  // Returns xxh3-64 of the parameters' values in the order of their names, without padding.
  std::uint64_t hash() const;

 private:
  Parameter* add(Parameter parameter);

  std::deque<Parameter> parameters_;
  std::int64_t elements_ = 0, depth_ = 0;
  bool trainable_ = true;
  torch::Tensor values_, gradients_;
  std::function<void(std::size_t)> listener_;
};

// Returns sqrt(sum of squares) of a flat tensor, accumulated in double. A plain float norm of an arena was off by
// 4.5e-4.
double flat_norm(const torch::Tensor& flat);

}  // namespace polyhead
