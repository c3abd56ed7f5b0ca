// Every option of a training run, as plain structs. launch/ fills them in; everything below reads them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/model/options.h"
#include "datasets/column.h"
#include "datasets/sampling/mixture.h"
#include "datasets/sampling/packing.h"

namespace polyhead {

// What the bits of a run depend on besides its configuration, as name -> description: "program" -> its hash.
using Fingerprint = std::map<std::string, std::string>;

// Selects weights of a trained run.
struct Weights {
  std::string checkpoint = "latest";  // see choose_checkpoint
  bool average = false;               // their moving average (optimizer.ema) instead of the last values
};

// The weights that a new run starts from: the encoder of another run, and its heads of the same tasks.
struct InitialWeights {
  std::filesystem::path run_dir;  // of the other run; empty: start from random weights
  Weights weights;
  std::string hash;                        // of the weights, 16 hexadecimal digits
  std::vector<std::string> warnings = {};  // damaged checkpoints that were skipped
};

// A task's teacher: a task of another run.
struct TeacherOptions {
  std::filesystem::path run_dir;  // empty: no teacher
  Weights weights;
  std::string task;  // its name in the teacher's run; "": the same name, or the only task of the kind
  std::string hash;  // weights_hash, 16 hexadecimal digits
  double share = 0.5, temperature = 2;
  std::vector<std::string> warnings = {};  // damaged checkpoints that were skipped
};

struct TaskOptions {
  double weight = 1;       // with balance.method = static
  MaskingOptions masking;  // masked_lm
  HeadOptions head;
  TeacherOptions teacher = {};
  double cost = 0;           // seconds that a worker needs to train on one sample; 0: estimate it
  std::vector<int> workers;  // ranks of the task's group, ascending; empty: placed by cost
};

// Early stopping and the best checkpoint.
struct ValidationOptions {
  // Selects the best step. "TASK:METRIC"; "mean": the mean of the tasks' metrics, those where lower is better negated;
  // "": keep no best checkpoint.
  std::string best;
  std::int64_t patience = 0;  // end training after this many evaluations without improvement of `best`; 0: never
  struct Task {
    std::string metric = "loss";
    std::int64_t patience = 0;  // drop the task after this many evaluations without improvement; 0: never
  };
  std::map<std::string, Task> tasks;

  bool used() const;  // whether any decision depends on evaluations
};

struct TrainOptions {
  std::filesystem::path data;  // folder of the data set
  ReadOptions read;
  std::filesystem::path run_dir;
  std::uint64_t seed = 1;
  std::int64_t steps = 1000;
  std::int64_t eval_every = 0;        // steps; 0: only at the end
  std::int64_t eval_samples = 500;    // maximum per task and evaluation (evaluation_samples); 0: all of valid
  std::int64_t checkpoint_every = 0;  // steps; 0: only at the end and on an interrupt
  double checkpoint_seconds = 0;      // maximum seconds between checkpoints; 0: no limit
  std::int64_t keep = 2;              // number of checkpoints to keep
  std::int64_t stop_at = 0;           // stop after this step with a checkpoint, as on an interrupt; 0: never
  std::string dtype = "float32";      // or float64
  std::string device = "cpu";         // or cuda
  int local_rank = 0;                 // rank among this host's workers: the number of its CUDA device
  int threads = 1;
  std::vector<int> worker_threads = {1};  // of every worker by rank, or one number that holds for all
  std::int64_t accumulate = 1;            // micro-batches per worker and step, whose gradients are summed
  // 0: off. Otherwise the micro-batch size of run.reproducible = world, which gives equal bits for any number of
  // workers and any placement:
  // - Consecutive samples of one task form a micro-batch; `accumulate` must be 1; CPU only.
  // - Gradients and losses are summed so that the order does not matter.
  // - Workers, or a checkpoint, with another `fingerprint` are refused.
  std::int64_t micro_batch = 0;
  Fingerprint fingerprint;
  std::int64_t prefetch = 2;                        // steps whose batches a thread prepares ahead; 0: no thread
  std::vector<std::string> tasks;                   // names, in the data set's order; never empty
  std::map<std::string, TaskOptions> task_options;  // of every task
  InitialWeights initial;                           // for a new run
  EncoderOptions encoder;
  AttentionOptions attention;
  OptimizerOptions optimizer;
  bool shard_optimizer = false;  // see distributed/step/sharding.h
  MixtureOptions mixture;
  std::string balance = "equal";  // the name of a balancer
  ValidationOptions validation;
  double init_timeout = 300;                     // seconds to wait at the start for the other workers' devices
  std::int64_t trace_first = 0, trace_last = 0;  // steps to trace into run_dir/trace/; 0: none
  std::string host;                              // name of this worker's host, for the trace
};

}  // namespace polyhead
