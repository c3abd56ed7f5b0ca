// A worker's share of a step, packed: mixture, sampling, reader and packing together.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/batch.h"
#include "datasets/dataset.h"
#include "datasets/mixture.h"
#include "datasets/packing.h"
#include "datasets/sampling.h"

namespace polyhead {

// A task that the worker holds. Its quota is split by length among the parts of its group; the worker takes one.
struct LoaderTask {
  int task = 0;  // index among the run's tasks
  TaskInfo info;
  std::shared_ptr<const SplitReader> reader;
  MaskingOptions masking;
  int part = 0, parts = 1;
};

class Loader {
 public:
  // micro_batches: at least 1, into which a step is cut.
  Loader(std::vector<LoaderTask> tasks, TokenizerInfo tokenizer, std::uint64_t seed, std::int64_t micro_batches = 1);

  struct Step {
    std::vector<Batch> batches;  // [micro_batches], of about equally many tokens; some may be empty
    std::uint64_t ids = 0;       // sum mod 2^64 of hash_id over the samples here
  };
  // What this worker trains on at `step`; a pure function of its arguments and the seed. Samples of a task are in the
  // order of its stream, from one micro-batch to the next too. Not to be called by two threads at once.
  Step load(const std::vector<MixtureEntry>& mixture, std::int64_t step);

 private:
  struct Source {
    LoaderTask task;
    std::uint64_t key;
    SampleStream stream;
    // The quota of the step that is being loaded.
    std::uint64_t first = 0;
    std::vector<std::uint64_t> indices = {}, lengths = {};
    std::vector<StoredSample> samples = {};
    std::size_t own = 0, inputs = 0, targets = 0;  // samples of it that fall to this worker, and their lengths
  };
  struct Mine {
    const Source* source;
    const StoredSample* sample;
    std::uint64_t position;
    std::size_t middle;  // tokens of the step, in order, that lie before the middle of this sample
  };
  std::vector<Source> sources_;
  std::size_t micro_batches_;
  std::vector<Mine> mine_;  // what falls to this worker of the step that is being loaded
  TokenizerInfo tokenizer_;
};

}  // namespace polyhead
