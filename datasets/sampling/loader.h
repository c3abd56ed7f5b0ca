// Loads a worker's share of a step as packed batches, using mixture, sampling, readers and packing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/batch.h"
#include "datasets/dataset.h"
#include "datasets/sampling/mixture.h"
#include "datasets/sampling/packing.h"
#include "datasets/sampling/sampling.h"

namespace polyhead {

// A task that the worker holds. Its quota is split by length among the `parts` of its group; this worker loads `part`.
struct LoaderTask {
  std::size_t task = 0;  // index among the run's tasks
  TaskInfo info;
  std::shared_ptr<const SplitReader> reader;
  MaskingOptions masking;
  std::size_t part = 0, parts = 1;
};

// How a step is divided into micro-batches.
struct MicroBatches {
  std::int64_t parts =
      1;  // number of micro-batches on this worker, with about equally many tokens each; some may be empty
  std::int64_t samples =
      0;  // samples per micro-batch: consecutive samples of a task, on whichever worker; 0: use `parts`
};

class Loader {
 public:
  Loader(std::vector<LoaderTask> tasks, TokenizerInfo tokenizer, std::uint64_t seed, MicroBatches cut = {});

  struct Step {
    std::vector<Batch> batches;  // the micro-batches, see MicroBatches
    std::uint64_t ids = 0;       // sum mod 2^64 of hash_id() over the samples of this worker
  };
  // Returns what this worker trains on at `step`; a pure function of its arguments and the seed. The samples of a task
  // keep the order of its stream, within and across micro-batches. by_task: each micro-batch holds samples of one task,
  // and MicroBatches::parts is the number for each task. It must not be called by two threads at the same time.
  Step load(const std::vector<MixtureEntry>& mixture, std::int64_t step, bool by_task = false);

 private:
  struct Source {
    LoaderTask task;
    std::uint64_t key;
    SampleStream stream;
    // Quota of the step that is being loaded:
    std::uint64_t first = 0;
    std::vector<std::uint64_t> indices = {}, lengths = {};  // lengths: of the samples that stay in one micro-batch
    std::vector<StoredSample> samples = {};
    std::size_t own = 0, inputs = 0, targets = 0;  // number of samples of this worker, and the sums of their lengths
    std::size_t before = 0;                        // tokens of this worker and step before the first of them
  };
  struct Mine {
    const Source* source;
    const StoredSample* sample;
    std::uint64_t position;
    std::size_t middle;  // number of tokens of this worker and step before the middle of this sample
    std::size_t batch;
  };
  // What this worker takes of a step.
  struct Share {
    std::size_t tokens, batches;
  };

  void find_places(const std::vector<MixtureEntry>& mixture, std::int64_t step);
  Share choose_samples(bool by_task);  // fills mine_
  std::size_t cut(bool by_task);       // into micro-batches; returns their number
  // Returns how many consecutive samples of a task stay in one micro-batch.
  std::size_t samples_together() const { return cut_.samples > 0 ? static_cast<std::size_t>(cut_.samples) : 1; }

  std::vector<Source> sources_;
  MicroBatches cut_;
  std::vector<Mine> mine_;  // samples of this worker in the step that is being loaded
  TokenizerInfo tokenizer_;
};

}  // namespace polyhead
