// What a balancer of gradients costs each worker: bytes sent and memory (distributed/step/surgery.cpp).
#pragma once

#include <cstdint>
#include <vector>

#include "distributed/options.h"

namespace polyhead {

struct SurgeryCase {
  const TrainOptions& options;
  int workers = 1;
  std::vector<std::vector<int>> groups;       // [tasks] ranks
  std::vector<bool> active;                   // [tasks] with samples in the step
  std::int64_t elements = 0, last_block = 0;  // of the encoder's arena, and of its top block
  double width = 4;                           // bytes of an element
};

struct SurgeryCost {
  std::vector<double> sent;       // [workers] bytes per step for the encoder's gradient, the mean over balance.every
  std::vector<double> gradients;  // [workers] bytes of the gradients of its tasks, beside that of the encoder
  std::vector<double> received;   // [workers] bytes of the slices that it receives from workers on other hosts
  double exchanged = 1;           // bytes of the slowest worker relative to those of a plain all-reduce
};

SurgeryCost surgery_cost(const SurgeryCase& of);

}  // namespace polyhead
