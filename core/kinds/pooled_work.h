// The cost of heads that compute one output vector per text.
#pragma once

#include "core/kinds/task_kind.h"

namespace polyhead {

inline Work pooled_work(const HeadShape& shape) {
  const auto d = static_cast<double>(shape.encoder.dim);
  return {shape.input * d * d + d * d + d * shape.classes, shape.input * d + 3 * d + 2 * shape.classes};
}

}  // namespace polyhead
