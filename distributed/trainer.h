// The training loop: sampler, loader, forward, backward, gradient sync, optimizer; checkpoints and evaluation at
// boundaries.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/model/options.h"
#include "datasets/column.h"
#include "datasets/manifest.h"
#include "datasets/mixture.h"
#include "datasets/packing.h"
#include "distributed/attention_report.h"
#include "distributed/communicator/communicator.h"
#include "distributed/initial_weights.h"
#include "distributed/reproducible.h"
#include "distributed/teacher.h"
#include "distributed/validation.h"

namespace polyhead {

struct TaskOptions {
  double weight = 1;       // balance.method = static
  MaskingOptions masking;  // masked_lm
  HeadOptions head;
  TeacherOptions teacher = {};
  double cost = 0;           // seconds of a worker to train on one sample; 0: not given
  std::vector<int> workers;  // the ranks of its group, ascending; empty: placed by cost
};

struct TrainOptions {
  std::filesystem::path data;  // folder of the data set
  ReadOptions read;
  std::filesystem::path run_dir;
  std::uint64_t seed = 1;
  std::int64_t steps = 1000;
  std::int64_t eval_every = 0;        // 0: only at the end
  std::int64_t eval_samples = 500;    // of valid, a task, at most (evaluation_samples); 0: all
  std::int64_t checkpoint_every = 0;  // steps; 0: only at the end and when interrupted
  double checkpoint_seconds = 0;      // at most so long without a checkpoint; 0: no such bound
  std::int64_t keep = 2;              // checkpoints kept
  std::int64_t stop_at = 0;           // 0: never
  std::string dtype = "float32";      // or float64
  std::string device = "cpu";         // or cuda
  int local_rank = 0;                 // among the workers of this host: the number of its CUDA device
  int threads = 1;
  std::vector<int> worker_threads = {1};  // of every worker, by rank; one number where all have the same
  std::int64_t accumulate = 1;            // micro-batches of a worker a step; their gradients are added up
  // 0, or: the same bits on any number of workers and any placement, on CPUs. So many neighbours in a task's stream are
  // packed and run by themselves (accumulate is 1), and what is added up is added so that order cannot matter. Workers
  // whose `fingerprint` differs are refused, and a checkpoint of another: what the bits depend on, in words, by name.
  std::int64_t micro_batch = 0;
  Fingerprint fingerprint;
  std::int64_t prefetch = 2;                        // steps whose batches are made ahead in a thread; 0: none
  std::vector<std::string> tasks;                   // names, in the data set's order; never empty
  std::map<std::string, TaskOptions> task_options;  // every task
  InitialWeights initial;                           // the weights that a fresh run starts from
  EncoderOptions encoder;
  AttentionOptions attention;
  OptimizerOptions optimizer;
  bool shard_optimizer = false;  // see distributed/sharding.h
  MixtureOptions mixture;
  std::string balance = "equal";                 // or static
  ValidationOptions validation;                  // early stopping and the best checkpoint
  double init_timeout = 300;                     // seconds to wait at the start for the other workers' devices
  std::int64_t trace_first = 0, trace_last = 0;  // steps that are traced, to run_dir/trace/; 0: none
  std::string host;                              // this worker's, for the trace
};

// What rank 0 hears while training. Called on rank 0 only, in order.
class Observer {
 public:
  struct Start {
    std::int64_t first_step = 1, steps = 0;  // first_step > 1: resumed
    int workers = 1;
    std::int64_t encoder_parameters = 0;
    std::map<std::string, std::int64_t> head_parameters = {};
    std::string origin = {};     // the weights that a fresh run starts from, in words; "": random ones
    std::string placement = {};  // describe()
    std::string mixture = {};    // describe(): shares of each phase, warnings, planned epochs
    std::string valid = {};      // what evaluations take of valid where that is not all of it
  };
  struct Step {
    std::int64_t step = 0;
    std::map<std::string, double> loss, weight;  // active tasks
    // Of tasks whose loss is smoothed: the mean negative log-likelihood of the targets alone.
    std::map<std::string, double> plain_loss;
    std::int64_t tokens = 0;
    double seconds = 0;
    double wait = 0;  // of them, for data: the mean over workers
    std::uint64_t ids_hash = 0;
    double lr = 0, gradient_norm = 0;
    bool skipped = false;  // not finite: no update
  };
  virtual ~Observer() = default;
  virtual void on_start(const Start&) = 0;
  virtual void on_warning(const std::string& /*message*/) {}
  virtual void on_step(const Step&) = 0;
  virtual void on_eval(std::int64_t step, const std::string& split, const std::string& task,
                       const std::map<std::string, double>& metrics) = 0;
  // Early stopping: the task took part for the last time in `step`.
  virtual void on_finished(std::int64_t /*step*/, const std::string& /*task*/) {}
  // With every evaluation, where the weights are learned.
  virtual void on_attention(std::int64_t /*step*/, const std::string& /*split*/, const AttentionReport& /*report*/) {}
  // With every evaluation: how often each task's samples have been taken.
  virtual void on_epochs(std::int64_t /*step*/, const std::map<std::string, double>& /*epochs*/) {}
  virtual void on_checkpoint(std::int64_t step, const std::filesystem::path& folder, std::uint64_t parameter_hash) = 0;
};

enum class Ending { done, stopped, preempted };  // all steps; run.stop_at; a signal

struct TrainResult {
  Ending ending = Ending::done;
  std::int64_t step = 0;
  std::uint64_t parameter_hash = 0;
  std::map<std::string, double> epochs = {};  // of each task, taken since step 1
  std::string why = {};                       // done before the last step: why, in words
  std::int64_t best_step = 0;                 // of the best checkpoint; 0: none is kept
};

// Trains; all workers of `world` call it with equal options. `interrupt` becomes true when a signal asks to save and
// end: any worker's flag ends all after the same step, or without a result before training begins. With `resume`, goes
// on from the newest good checkpoint in run_dir/checkpoints, if there is one; then the result equals that of a run
// never interrupted, bit for bit, on the same number of workers. `observer` may be null on ranks > 0. Throws Error:
// config, data, cannot_write, diverged (K = 10 steps in a row without a finite loss).
std::optional<TrainResult> train(const TrainOptions& options, Communicator& world, Observer* observer,
                                 const std::atomic<bool>& interrupt, bool resume);

}  // namespace polyhead
