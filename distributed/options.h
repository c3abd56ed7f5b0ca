// Every option of a training run, as plain structs. launch/ fills them in; everything below reads them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/balancing/options.h"
#include "core/base/field.h"
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

// [run]
inline std::vector<Field> fields(InitialWeights& options) {
  return {
      {.name = "init_from",
       .member = &options.run_dir,
       .help = "The folder of a run whose weights this run starts from: the encoder, and the heads of the tasks that "
               "both runs have. Options that are not given are taken from that run's configuration: all of them if "
               "run.data is not given, otherwise those that define the encoder, attention.mode and attention.heads.",
       .identity = false,
       .alias = "init-from",
       .after = "tasks"},
      {.name = "init_checkpoint",
       .member = &options.weights.checkpoint,
       .help = "The checkpoint to start from: latest (the default), best (by that run's run.best), best:TASK if that "
               "has several values, or the step of an existing checkpoint.",
       .needs = "run.init_from",
       .resolved = true,
       .after = "init_from"},
      {.name = "init_weights",
       .member = NamedMember(&options.weights.average, "last", "average"),
       .help = "Whether to start from the weights after the last update (last, the default) or from their moving "
               "average (average).",
       .needs = "run.init_from",
       .resolved = true,
       .after = "init_checkpoint"},
      {.name = "init_hash",
       .member = &options.hash,
       .help = "Hash (xxh3-64) of the weights that the run started from. It is computed at the start of the run and "
               "checked on resuming.",
       .needs = "run.init_from",
       .after = "init_weights"},
  };
}

// The pretrained model that a new run's encoder starts from, see core/exchange/hugging_face.h.
struct PretrainedWeights {
  std::filesystem::path folder;  // empty: none
  std::string hash;              // pretrained_hash(), 16 hexadecimal digits
};

// [encoder]
inline std::vector<Field> fields(PretrainedWeights& options) {
  return {
      {.name = "from",
       .member = &options.folder,
       .help = "A folder with a pretrained model of Hugging Face's transformers whose weights the encoder starts from: "
               "a BERT, MiniLM, DistilBERT or XLM-RoBERTa, or a RoBERTa without byte-level BPE. It determines "
               "encoder.form, layers, dim, heads, ffn, positions, token_types, norm_epsilon and activation. The data "
               "set must have its tokenizer (dataset.tokenizer = FOLDER).",
       .identity = false},
      {.name = "from_hash",
       .member = &options.hash,
       .help = "Hash (xxh3-64) of the pretrained weights. It is computed at the start of the run, and checked if the "
               "run starts again before its first checkpoint.",
       .needs = "encoder.from",
       .after = "from"},
  };
}

// A task's teacher: a task of another run.
struct TeacherOptions {
  std::filesystem::path run_dir;  // empty: no teacher
  Weights weights;
  std::string task;  // its name in the teacher's run; "": the same name, or the only task of the kind
  std::string hash;  // weights_hash, 16 hexadecimal digits
  double share = 0.5, temperature = 2;
  std::vector<std::string> warnings = {};  // damaged checkpoints that were skipped
};

// [task.NAME]
inline std::vector<Field> fields(TeacherOptions& options) {
  return {
      {.name = "teacher",
       .member = &options.run_dir,
       .help = "Knowledge distillation: the folder of the run that holds the teacher of this task's head. If not "
               "given, the task has no teacher.",
       .identity = false},
      {.name = "teacher_checkpoint",
       .member = &options.weights.checkpoint,
       .help = "The teacher's checkpoint: latest (the default), best (by that run's run.best), best:TASK if that has "
               "several values, or the step of an existing checkpoint. It does not change when the run is resumed.",
       .needs = "teacher",
       .resolved = true},
      {.name = "teacher_weights",
       .member = NamedMember(&options.weights.average, "last", "average"),
       .help = "Whether to use the teacher's weights after its last update (last, the default) or their moving average "
               "(average).",
       .needs = "teacher",
       .resolved = true},
      {.name = "teacher_task",
       .member = &options.task,
       .help = "The task of the teacher's run to learn from. If not given, it is the task with the same name, or else "
               "the only task of the same kind.",
       .needs = "teacher"},
      {.name = "teacher_hash",
       .member = &options.hash,
       .help = "Hash (xxh3-64) of the teacher's encoder and head. It is computed at the start of the run and checked "
               "on resuming.",
       .needs = "teacher"},
      {.name = "distill",
       .member = &options.share,
       .help = "Weight of the distance from the teacher in the loss; the task's own loss has the rest. If not given, "
               "it is 0.5.",
       .range = ">=0,<=1",
       .needs = "teacher",
       .resolved = true},
      {.name = "distill_temperature",
       .member = &options.temperature,
       .help = "Temperature at which probabilities are compared with the teacher's. If not given, it is 2.",
       .range = ">0",
       .needs = "teacher and kind!=regression",
       .resolved = true},
  };
}

struct TaskOptions {
  double importance = 1;   // see AttentionOptions::importances
  double weight = 1;       // see balance.method
  MaskingOptions masking;  // masked_lm
  HeadOptions head;
  TeacherOptions teacher = {};
  double cost = 0;           // seconds that a worker needs to train on one sample; 0: estimate it
  std::vector<int> workers;  // ranks of the task's group, ascending; empty: placed by cost
  // Of the head's optimizer; without a value, that of OptimizerOptions (see head_optimizer).
  std::optional<double> lr = {}, weight_decay = {};
  std::optional<std::int64_t> warmup = {};
};

// [task.NAME]
inline std::vector<Field> fields(TaskOptions& options) {
  return {
      {.name = "importance",
       .member = &options.importance,
       .help = "Importance of the task, relative to those of the other tasks and to 1 for \"no task\". Learned "
               "importances start at this value.",
       .range = ">0",
       .needs = "attention.mode=competitive"},
      {.name = "weight",
       .member = &options.weight,
       .help = "Relative weight of the task's loss, or the preference for the task.",
       .range = ">0",
       .needs = "balance.method=static|stch|aligned_mtl|upgrad|dual_proj"},
      {.name = "cost",
       .member = &options.cost,
       .help = "Seconds that a worker needs to train on one sample. Tasks are placed on workers by it. Give it for all "
               "tasks or for none; if not given, it is estimated. polyhead plan --calibrate measures it.",
       .range = ">0",
       .identity = false,
       .resolved = true},
      {.name = "workers",
       .member = &options.workers,
       .help = "Ranks of the workers that hold the task's head, such as 0, 2, 4-7. If not given, the task is placed by "
               "its cost.",
       .identity = false},
      {.name = "lr",
       .member = &options.lr,
       .help = "The maximum learning rate of the task's head. If not given, it is optimizer.lr.",
       .range = ">0"},
      {.name = "warmup",
       .member = &options.warmup,
       .help = "Number of linear warm-up steps of the task's head. If not given, it is optimizer.warmup.",
       .range = ">=0"},
      {.name = "weight_decay",
       .member = &options.weight_decay,
       .help = "Coefficient of the weight decay of the task's head. If not given, it is optimizer.weight_decay.",
       .range = ">=0"},
  };
}

// Early stopping and the best checkpoint.
struct ValidationOptions {
  // Selects the best steps: one or more values, separated by commas. "TASK:METRIC"; "each": the values of all tasks'
  // metrics; "mean": their mean, those where lower is better negated; "": keep no best checkpoint.
  std::string best;
  std::int64_t patience = 0;  // end training after this many evaluations without improvement of any value; 0: never
  struct Task {
    std::string metric = "loss";
    std::int64_t patience = 0;  // drop the task after this many evaluations without improvement; 0: never
    bool has_valid = true;      // whether there are valid samples; not an option
  };
  std::map<std::string, Task> tasks;

  bool used() const;  // whether any decision depends on evaluations
  // Returns the values of `best`, in order, with TASK:METRIC of all `tasks` that have valid samples in place of "each".
  // A task's name may have a comma, so `tasks` must be filled in.
  std::vector<std::string> best_values() const;
};

// [task.NAME]
inline std::vector<Field> fields(ValidationOptions::Task& options) {
  return {
      {.name = "patience",
       .member = &options.patience,
       .help = "The same as run.task_patience, for this task only. If not given, run.task_patience is used.",
       .range = ">=0",
       .identity = false,
       .needs = "run.eval_every!=0",
       .resolved = true},
      {.name = "metric",
       .member = &options.metric,
       .help = "The metric on the valid split that early stopping of the task and run.best = mean or each use.",
       .needs = "run.best~mean or run.best~each or patience!=0"},
  };
}

// Which part of the encoder's gradients is compared between tasks.
enum class BalanceScope { all, last_block, sketch };
constexpr std::array<std::string_view, 3> choices(BalanceScope) {
  return {"all", "last_block", "sketch"};
}

// How the gradients of the tasks are measured and combined over the workers (distributed/step/surgery.cpp).
struct SurgeryOptions {
  std::int64_t every = 1;
  BalanceScope scope = BalanceScope::all;
  std::int64_t sketch_size = 16384;
  bool exact = false;
  std::int64_t telemetry_every = 100;
};

// [balance]
inline std::vector<Field> fields(SurgeryOptions& options) {
  return {
      {.name = "every",
       .member = &options.every,
       .help = "Number of steps between two computations of the weights from the gradients. The steps in between reuse "
               "the weights, and cost as little as those of balance.method = equal. It needs a method that reads "
               "gradients.",
       .range = ">=1"},
      {.name = "scope",
       .member = &options.scope,
       .help = "Which gradients are compared: those of all parameters of the encoder (all), those of its top block "
               "(last_block), or random sketches of all of them (sketch). With several tasks per worker, the last two "
               "send fewer bytes. It needs a method that reads gradients."},
      {.name = "sketch_size",
       .member = &options.sketch_size,
       .help = "Size of a sketch; it is rounded up to a multiple of 64. The error of a cosine is about one divided by "
               "the square root of the size. Reports on gradients use sketches too, unless the method has measured "
               "the gradients.",
       .range = ">=64"},
      {.name = "exact",
       .member = NamedMember(&options.exact, "no", "yes"),
       .help = "Whether a method that reads losses gets those of this step (yes), which takes one more all-reduce "
               "between forward and backward, or those of the step before (no). It needs run.accumulate = 1."},
      {.name = "telemetry_every",
       .member = &options.telemetry_every,
       .help = "Number of steps between reports on the tasks' gradients in metrics.jsonl: their norms, their cosines, "
               "and each task's share of the update. A report takes as long as one more step, and does not change the "
               "results. Methods that read inner products of gradients report every step that measures them, at no "
               "cost. 0 disables reports.",
       .range = ">=0",
       .identity = false},
  };
}

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
  PretrainedWeights pretrained;                     // for a new run
  EncoderOptions encoder;
  AttentionOptions attention;
  OptimizerOptions optimizer;
  bool shard_optimizer = false;     // see distributed/step/sharding.h
  std::int64_t freeze_encoder = 0;  // number of steps at the start in which the encoder is not trained
  MixtureOptions mixture;
  BalancerOptions balancer;
  SurgeryOptions surgery;
  ValidationOptions validation;
  double init_timeout = 300;                     // seconds to wait at the start for the other workers' devices
  std::int64_t trace_first = 0, trace_last = 0;  // steps to trace into run_dir/trace/; 0: none
  std::string host;                              // name of this worker's host, for the trace
};

// [run], unless a section is given
inline std::vector<Field> fields(TrainOptions& options) {
  return {
      {.name = "data",
       .member = &options.data,
       .help = "The data set's folder, as written by polyhead import.",
       .identity = false,
       .alias = "data"},
      {.name = "run_dir",
       .member = &options.run_dir,
       .help = "The run's folder, for its configuration, checkpoints, metrics and logs.",
       .identity = false,
       .alias = "run-dir"},
      {.name = "seed",
       .member = &options.seed,
       .help = "Random seed for initial weights, sampling, dropout and masking.",
       .range = ">=0"},
      {.name = "steps",
       .member = &options.steps,
       .help = "Number of training steps. The learning rate schedule ends at this step.",
       .range = ">=1",
       .identity = false},
      {.name = "eval_every",
       .member = &options.eval_every,
       .help = "Number of steps between evaluations on the valid split. 0 evaluates only at the end.",
       .range = ">=0",
       .identity = false},
      {.name = "eval_samples",
       .member = &options.eval_samples,
       .help = "Maximum number of samples of the valid split per task and evaluation. They are spread over the split "
               "and are the same in every evaluation. 0 uses all of them.",
       .range = ">=0",
       .identity = false},
      {.name = "patience",
       .member = &options.validation.patience,
       .help = "Early stopping: number of evaluations without an improvement of any value of run.best after which "
               "training ends. 0 disables it.",
       .range = ">=0",
       .identity = false,
       .needs = "run.best and run.eval_every!=0"},
      {.name = "best",
       .member = &options.validation.best,
       .help =
           "The values that early stopping and the best checkpoints use, separated by commas: TASK:METRIC on the "
           "valid split; each, which stands for every task that has valid samples, with its task.NAME.metric; or "
           "mean, which is the mean of these (negated where lower is better). The checkpoint where a value was best "
           "is kept. If empty, no best checkpoint is kept.",
       .needs = "run.eval_every!=0"},
      {.name = "checkpoint_every",
       .member = &options.checkpoint_every,
       .help = "Number of steps between checkpoints. 0 disables it. A checkpoint is also saved at the end, on an "
               "interrupt and when run.best improves.",
       .range = ">=0",
       .identity = false},
      {.name = "checkpoint_seconds",
       .member = &options.checkpoint_seconds,
       .help = "Maximum number of seconds between checkpoints. 0 disables it.",
       .range = ">=0",
       .identity = false},
      {.name = "keep",
       .member = &options.keep,
       .help = "Number of most recent checkpoints to keep. The best checkpoints are kept in addition.",
       .range = ">=1",
       .identity = false},
      {.name = "stop_at",
       .member = &options.stop_at,
       .help = "Save a checkpoint and stop after this step, as on an interrupt. The run can be resumed. 0 disables it.",
       .range = ">=0",
       .identity = false},
      {.name = "init_timeout",
       .member = &options.init_timeout,
       .help = "Number of seconds that workers wait for each other at the start. After that, the run names the missing "
               "workers and ends with exit code 71. 0 waits forever.",
       .range = ">=0",
       .identity = false},
      {.name = "data_access",
       .member = &options.read.access,
       .help = "How shards are read: memory-mapped (map), or by pread. auto uses pread on network file systems and map "
               "elsewhere.",
       .identity = false},
      {.name = "verify_data",
       .member = &options.read.verify,
       .help = "When the checksums of the data are verified: per block when it is first read (blocks), for all data at "
               "the start (open), or never (off).",
       .identity = false},
      {.name = "prefetch",
       .member = &options.prefetch,
       .help =
           "Number of steps whose batches a separate thread prepares ahead. 0 prepares them in the training thread.",
       .range = ">=0",
       .identity = false},
      {.name = "accumulate",
       .member = &options.accumulate,
       .help = "Gradient accumulation: number of micro-batches into which a worker splits its samples of a step. They "
               "are processed one after another before a single update. This needs less memory and gives the same "
               "update up to rounding.",
       .range = ">=1"},
      {.name = "dtype",
       .member = NamedMember(&options.dtype, {"float32", "float64"}),
       .help = "The data type of parameters and arithmetic."},
      {.name = "shard",
       .member = NamedMember(&options.shard_optimizer, "none", "world"),
       .help = "Whether each worker stores the optimizer state of the whole encoder (none), or only of its own part "
               "(world, as ZeRO stage 1). world needs less memory per worker if there are several, and gives bitwise "
               "equal results.",
       .identity = false,
       .section = "optimizer"},
      {.name = "freeze_encoder",
       .member = &options.freeze_encoder,
       .help =
           "Number of steps at the start in which only the heads are trained: the encoder, task attention included, "
           "keeps its values, and its optimizer does not count these steps. The learning rate's schedule counts "
           "them. 0 trains the encoder from the first step.",
       .range = ">=0",
       .section = "optimizer"},
  };
}

}  // namespace polyhead
