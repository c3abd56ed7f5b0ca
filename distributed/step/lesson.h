// The computations of a teacher for a slice of a batch, which the student's head learns from.
#pragma once

#include "core/heads/head.h"

namespace polyhead {

struct Lesson {
  const Head* head;  // the teacher's
  HeadInput input;
  TaskSlice slice;
  double share, temperature;

  // Computes the teacher's outputs, which may be large, when they are needed.
  Distillation distillation() const {
    const torch::NoGradGuard guard;
    return {head->outputs(input, slice), share, temperature};
  }
};

}  // namespace polyhead
