// Base class of heads with one output vector per text: r_t -> linear, gelu, dropout, linear.
#pragma once

#include "core/heads/head.h"
#include "core/model/layers.h"

namespace polyhead {

class PooledHead : public Head {
 public:
  PooledHead(HeadSpec spec, std::int64_t outputs);

 protected:
  torch::Tensor output(const HeadInput& input) const;  // [sequences, outputs]

 private:
  Linear value_, hidden_, out_;
};

}  // namespace polyhead
