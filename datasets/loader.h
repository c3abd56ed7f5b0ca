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

// How a step is cut into micro-batches.
struct MicroBatches {
  std::int64_t parts = 1;    // so many on this worker, of about equally many tokens; some may be empty
  std::int64_t samples = 0;  // or each of so many neighbours in a task's stream, whoever holds them; 0: by `parts`
};

class Loader {
 public:
  Loader(std::vector<LoaderTask> tasks, TokenizerInfo tokenizer, std::uint64_t seed, MicroBatches cut = {});

  struct Step {
    std::vector<Batch> batches;  // the micro-batches, as they are cut
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
    std::vector<std::uint64_t> indices = {}, lengths = {};  // lengths: of what stays together
    std::vector<StoredSample> samples = {};
    std::size_t own = 0, inputs = 0, targets = 0;  // samples of it that fall to this worker, and their lengths
  };
  struct Mine {
    const Source* source;
    const StoredSample* sample;
    std::uint64_t position;
    std::size_t middle;  // tokens of the step, in order, that lie before the middle of this sample
    std::size_t batch;
  };
  std::vector<Source> sources_;
  MicroBatches cut_;
  std::vector<Mine> mine_;  // what falls to this worker of the step that is being loaded
  TokenizerInfo tokenizer_;
};

}  // namespace polyhead
