// A worker's share of a step, packed: sampler, reader and packing together.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/batch.h"
#include "datasets/dataset.h"
#include "datasets/packing.h"
#include "datasets/sampling.h"

namespace polyhead {

// A task that the worker holds: it takes every parts-th sample of the task's quota, from the part-th on.
struct LoaderTask {
  int task = 0;  // index among the run's tasks
  TaskInfo info;
  std::shared_ptr<const SplitReader> reader;
  MaskingOptions masking;
  int part = 0, parts = 1;
};

class Loader {
 public:
  Loader(std::vector<LoaderTask> tasks, TokenizerInfo tokenizer, std::uint64_t seed)
      : tasks_(std::move(tasks)), tokenizer_(std::move(tokenizer)), seed_(seed) {}

  struct Step {
    Batch batch;
    std::uint64_t ids = 0;  // sum mod 2^64 of hash_id over the samples here
  };
  // What this worker trains on at `step`; a pure function of its arguments and the seed.
  Step load(const std::vector<MixtureEntry>& mixture, std::int64_t step) const;

 private:
  std::vector<LoaderTask> tasks_;
  TokenizerInfo tokenizer_;
  std::uint64_t seed_;
};

}  // namespace polyhead
