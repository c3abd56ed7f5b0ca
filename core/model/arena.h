// One flat arena per owner (the encoder, each head): parameters are views into one buffer, their gradients into
// another, so that reducing, clipping, AdamW, hashing and checkpointing work on slices of it.
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
  double initial = 0;  // standard deviation of a normal start; with `constant`, the value itself
  bool constant = false;
  bool decay = false;       // weight decay
  bool trainable = true;    // false: no gradient is computed, and the optimizer leaves it alone
  std::int64_t depth = 0;   // blocks from the top, for layer-wise learning rates: 0 above the blocks, 1 in the top one
  std::int64_t offset = 0;  // elements, in the arena
  torch::Tensor tensor;     // a leaf, which requires a gradient if it is trainable; defined by finish()

  std::int64_t size() const;  // elements, without padding
};

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Before finish(). The pointers stay valid; `tensor` is defined by finish(). `trainable` may be changed until then.
  Parameter* normal(const std::string& name, std::vector<std::int64_t> shape, double deviation, bool decay);
  Parameter* constant(const std::string& name, std::vector<std::int64_t> shape, double value);
  // The depth of parameters that are added from now on.
  void set_depth(std::int64_t depth) { depth_ = depth; }

  // Elements of the buffer, padding included (each tensor starts at a multiple of 16 elements). Decayed parameters come
  // first.
  std::int64_t layout();
  // Makes the buffers and the starting values, which depend on (seed, owner, name) alone. `gradient_memory`, if given,
  // is host memory of layout() elements for the gradients, and must outlive the arena.
  void finish(const std::string& owner, std::uint64_t seed, torch::TensorOptions options,
              void* gradient_memory = nullptr);

  const std::deque<Parameter>& parameters() const { return parameters_; }
  std::int64_t parameter_count() const;  // elements, without padding
  // Makes this buffer hold the gradients. buffer: [layout()] of the values' type and device.
  void bind_gradients(const torch::Tensor& buffer);
  // Registers the function that announce() calls; {} removes it. One at a time.
  void on_complete(std::function<void(std::size_t)> listener) { listener_ = std::move(listener); }
  // Reports that backward has written the whole gradient of this parameter (its index in parameters()). Called by
  // autograd's hooks, or by code that writes gradients itself, on the thread that runs backward.
  void announce(std::size_t parameter) const {
    if (listener_) listener_(parameter);
  }

  torch::Tensor values() const { return values_; }
  torch::Tensor gradients() const { return gradients_; }
  std::int64_t decayed() const { return decayed_; }  // elements of the buffer that weight decay covers: [0, decayed)

  // Throws std::logic_error when autograd has replaced a gradient's memory (create_graph, or a gradient set undefined).
  void check_gradients() const;
  // xxh3-64 over the parameters' values by name, without padding.
  std::uint64_t hash() const;

 private:
  Parameter* add(Parameter parameter);

  std::deque<Parameter> parameters_;
  std::int64_t elements_ = 0, decayed_ = 0, depth_ = 0;
  torch::Tensor values_, gradients_;
  std::function<void(std::size_t)> listener_;
};

// sqrt(sum of squares) of a flat tensor, accumulated in double; a plain float norm of an arena was off by 4.5e-4.
double flat_norm(const torch::Tensor& flat);

}  // namespace polyhead
