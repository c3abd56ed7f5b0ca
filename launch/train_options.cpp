// The table of a training run's options.
#include "launch/options.h"

namespace polyhead {

std::span<const Option> train_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "config", path, "", "The configuration file (INI).", false, "", "c"},
      {"", "print-config", flag, "", "Print the value of every option and where it came from, then exit."},

      {"run", "data", path, "", "The data set's folder, as written by polyhead import.", false, "", "data"},
      {"run", "run_dir", path, "", "The run's folder, for its configuration, checkpoints, metrics and logs.", false, "",
       "run-dir"},
      {"run", "data_hash", text, "",
       "Hash (xxh3-64) of the tokenizer and of the tasks' train shards as listed in dataset.json. It is computed at "
       "the start of the run and checked on resuming.",
       true},
      {"run", "tasks", list, "",
       "Names of the tasks to train, separated by commas. If empty, all tasks of the data set are trained.", true},
      {"run", "init_from", path, "",
       "The folder of a run whose weights this run starts from: the encoder, and the heads of the tasks that both runs "
       "have. Options that are not given are taken from that run's configuration: all of them if run.data is not "
       "given, otherwise those that define the encoder, attention.mode and attention.heads.",
       false, "", "init-from"},
      {"run", "init_checkpoint", text, "",
       "The checkpoint to start from: latest (the default), best (by that run's run.best), or the step of an existing "
       "checkpoint.",
       true, "", "", "run.init_from"},
      {"run", "init_weights", choice, "",
       "Whether to start from the weights after the last update (last, the default) or from their moving average "
       "(average).",
       true, "last|average", "", "run.init_from"},
      {"run", "init_hash", text, "",
       "Hash (xxh3-64) of the weights that the run started from. It is computed at the start of the run and checked on "
       "resuming.",
       true, "", "", "run.init_from"},
      {"run", "seed", integer, "1", "Random seed for initial weights, sampling, dropout and masking.", true, ">=0"},
      {"run", "steps", integer, "1000", "Number of training steps. The learning rate schedule ends at this step.",
       false, ">=1"},
      {"run", "eval_every", integer, "0",
       "Number of steps between evaluations on the valid split. 0 evaluates only at the end.", false, ">=0"},
      {"run", "eval_samples", integer, "500",
       "Maximum number of samples of the valid split per task and evaluation. They are spread over the split and are "
       "the same in every evaluation. 0 uses all of them.",
       false, ">=0"},
      {"run", "patience", integer, "0",
       "Early stopping: number of evaluations without an improvement of run.best after which training ends. 0 disables "
       "it.",
       false, ">=0", "", "run.best and run.eval_every!=0"},
      {"run", "task_patience", integer, "0",
       "Early stopping of each task: number of evaluations without an improvement of task.NAME.metric after which the "
       "task is finished. Its head is then frozen and its data leave the mixture. Training ends when all tasks are "
       "finished. 0 disables it.",
       false, ">=0", "", "run.eval_every!=0"},
      {"run", "best", text, "",
       "The value that early stopping and the best checkpoint use: TASK:METRIC on the valid split, or mean, which is "
       "the mean of all tasks' task.NAME.metric (negated where lower is better). If empty, no best checkpoint is kept.",
       true, "", "", "run.eval_every!=0"},
      {"run", "checkpoint_every", integer, "0",
       "Number of steps between checkpoints. 0 disables it. A checkpoint is also saved at the end, on an interrupt and "
       "when run.best improves.",
       false, ">=0"},
      {"run", "checkpoint_seconds", number, "0", "Maximum number of seconds between checkpoints. 0 disables it.", false,
       ">=0"},
      {"run", "keep", integer, "2",
       "Number of most recent checkpoints to keep. The best checkpoint is kept in addition.", false, ">=1"},
      {"run", "stop_at", integer, "0",
       "Save a checkpoint and stop after this step, as on an interrupt. The run can be resumed. 0 disables it.", false,
       ">=0"},
      {"run", "resume", choice, "auto",
       "Whether a folder that already holds a run is resumed (auto) or rejected (never).", false, "auto|never"},
      {"run", "hang_timeout", number, "600",
       "Number of seconds without progress or a sign of life after which a worker counts as hung. The run then names "
       "the worker and ends with exit code 71. 0 disables it.",
       false, ">=0"},
      {"run", "init_timeout", number, "300",
       "Number of seconds that workers wait for each other at the start. After that, the run names the missing workers "
       "and ends with exit code 71. 0 waits forever.",
       false, ">=0"},
      {"run", "trace", text, "",
       "Steps to trace, written as in \"steps 10-20\". What each worker does in these steps is saved to trace/ in the "
       "run's folder as a Chrome trace, which Perfetto can open. If empty, nothing is traced.",
       false},
      {"run", "threads", integer, "0",
       "Number of compute threads per worker. 0 uses the first of these that applies: 1 with run.reproducible = world; "
       "OMP_NUM_THREADS; the number that the run began with; for one worker, the number that a short measurement finds "
       "fastest; for several workers, an equal share of the cores.",
       false, ">=0"},
      {"run", "data_access", choice, "auto",
       "How shards are read: memory-mapped (map), or by pread. auto uses pread on network file systems and map "
       "elsewhere.",
       false, "auto|map|pread"},
      {"run", "verify_data", choice, "blocks",
       "When the checksums of the data are verified: per block when it is first read (blocks), for all data at the "
       "start (open), or never (off).",
       false, "blocks|open|off"},
      {"run", "prefetch", integer, "2",
       "Number of steps whose batches a separate thread prepares ahead. 0 prepares them in the training thread.", false,
       ">=0"},
      {"run", "accumulate", integer, "1",
       "Gradient accumulation: number of micro-batches into which a worker splits its samples of a step. They are "
       "processed one after another before a single update. This needs less memory and gives the same update up to "
       "rounding.",
       true, ">=1"},
      {"run", "reproducible", choice, "run",
       "Whether results are bitwise equal in every run on the same number of workers (run), or on any number of "
       "workers and any placement (world). world is slower and requires CPUs of one kind and the same number of "
       "threads on every worker.",
       true, "run|world"},
      {"run", "micro_batch", integer, "16", "Number of consecutive samples of a task that are computed together.", true,
       ">=1", "", "run.reproducible=world"},
      {"run", "dtype", choice, "float32", "The data type of parameters and arithmetic.", true, "float32|float64"},
      {"run", "device", choice, "auto", "The device to compute on. auto uses a GPU if there is one.", false,
       "auto|cpu|cuda"},

      {"encoder", "form", choice, "pre_norm",
       "The form of the encoder. pre_norm has pre-norm blocks and rotary positions; bert is BERT's form with post-norm "
       "blocks, learned positions and token types.",
       true, "pre_norm|bert"},
      {"encoder", "layers", integer, "4", "Number of transformer blocks.", true, ">=1"},
      {"encoder", "dim", integer, "256",
       "Width of a token's hidden state. It must be a multiple of encoder.heads, and of twice that with form = "
       "pre_norm.",
       true, ">=2"},
      {"encoder", "heads", integer, "4", "Number of heads of self-attention.", true, ">=1"},
      {"encoder", "ffn", integer, "1024", "Width of the hidden layer of the feed-forward network.", true, ">=1"},
      {"encoder", "positions", integer, "512", "Maximum input length in tokens.", true, ">=1", "", "encoder.form=bert"},
      {"encoder", "dropout", number, "0.1", "Dropout probability.", true, ">=0,<1"},
      {"encoder", "attention_dropout", number, "0",
       "Dropout probability of the weights of self-attention, and of the attention weights in a translation task's "
       "decoder.",
       true, ">=0,<1"},
      {"encoder", "drop_path", number, "0",
       "Stochastic depth: the probability with which a sample skips a branch (attention, feed-forward) of the last "
       "block. The probability grows linearly from 0 at the first block.",
       true, ">=0,<1"},
      {"encoder", "activation_checkpointing", choice, "off",
       "Whether backward recomputes the activations inside each block (blocks) instead of storing them. This saves "
       "memory, takes about a third more time in the encoder, and gives bitwise equal results.",
       false, "off|blocks"},
      {"encoder", "share", choice, "hard",
       "How tasks share the encoder's blocks. hard: they share everything. adapters: each task has an adapter after "
       "every block. mtan: each task has a mask over the states of every block. mmoe and ple: in the top blocks, "
       "experts that a gate of each task mixes replace the feed-forward network; all experts are shared (mmoe), or "
       "some belong to a single task (ple).",
       true, "hard|adapters|mtan|mmoe|ple"},
      {"encoder", "adapter_dim", integer, "32", "Width of the hidden layer of an adapter or mask.", true, ">=1", "",
       "encoder.share=adapters|mtan"},
      {"encoder", "experts", integer, "4",
       "Number of shared experts per block. Each is ffn / experts wide, so the number must divide encoder.ffn.", true,
       ">=1", "", "encoder.share=mmoe|ple"},
      {"encoder", "expert_layers", integer, "1", "Number of top blocks that have experts.", true, ">=1", "",
       "encoder.share=mmoe|ple"},
      {"encoder", "task_experts", integer, "1",
       "Number of experts of its own that each task has in such a block. They are as wide as the shared ones.", true,
       ">=1", "", "encoder.share=ple"},

      {"attention", "mode", choice, "competitive",
       "How words are weighted for a task. competitive: tasks compete for a share of each word. independent: a softmax "
       "over the words of the text. mean: all words have equal weight. first: only the first word counts.",
       true, "competitive|independent|mean|first"},
      {"attention", "heads", integer, "1", "Number of heads of the task attention.", true, ">=1", "",
       "attention.mode=competitive|independent"},
      {"attention", "temperature", number, "1",
       "Temperature of the softmax that gives words their weights: over tasks (competitive) or over words "
       "(independent).",
       true, ">0", "", "attention.mode=competitive|independent"},
      {"attention", "floor", number, "0",
       "Epsilon: the fraction of a word's weight that is spread evenly over tasks and \"no task\" (competitive), or "
       "over words (independent).",
       true, ">=0,<1", "", "attention.mode=competitive|independent"},
      {"attention", "entropy_bonus", number, "0",
       "Factor of the entropy bonus: each task's loss is reduced by this factor times the mean entropy (in nats) of "
       "its words' weights over tasks. 0 disables it.",
       true, ">=0", "", "attention.mode=competitive|independent"},
      {"attention", "importance", choice, "learned",
       "Whether the tasks' importances are learned, or fixed at task.NAME.importance.", true, "learned|fixed", "",
       "attention.mode=competitive"},

      {"optimizer", "lr", number, "5e-4", "The maximum learning rate.", true, ">0"},
      {"optimizer", "warmup", integer, "100", "Number of linear warm-up steps after which optimizer.lr is reached.",
       true, ">=0"},
      {"optimizer", "schedule", choice, "cosine",
       "The learning rate after the warm-up. cosine and linear decay to 0 at run.steps, inverse_sqrt decays with the "
       "inverse square root of the step, constant does not decay.",
       true, "cosine|linear|inverse_sqrt|constant"},
      {"optimizer", "layer_decay", number, "1",
       "Layer-wise learning rate decay: the learning rate is multiplied by this factor once for the encoder's top "
       "block, twice for the block below it, and so on down to the embedding. Heads and task attention are not "
       "affected.",
       true, ">0,<=1"},
      {"optimizer", "weight_decay", number, "0.01",
       "Coefficient of decoupled weight decay. It does not apply to norms, biases, task queries and importances.", true,
       ">=0"},
      {"optimizer", "beta1", number, "0.9", "Decay rate of the first moment.", true, ">=0,<1"},
      {"optimizer", "beta2", number, "0.98", "Decay rate of the second moment.", true, ">=0,<1"},
      {"optimizer", "epsilon", number, "1e-8",
       "Term added to the square root of the second moment for numerical stability.", true, ">0"},
      {"optimizer", "clip", number, "1", "Maximum norm of the encoder's gradient. 0 disables clipping.", true, ">=0"},
      {"optimizer", "head_clip", number, "1", "Maximum norm of each head's gradient. 0 disables clipping.", true,
       ">=0"},
      {"optimizer", "ema", number, "0",
       "Decay of an exponential moving average of the weights, which is saved with each checkpoint (see --weights "
       "average of evaluate and predict). In step n it is at most (1 + n) / (10 + n). 0 disables it.",
       true, ">=0,<1"},
      {"optimizer", "shard", choice, "none",
       "Whether each worker stores the optimizer state of the whole encoder (none), or only of its own part (world, as "
       "ZeRO stage 1). world needs less memory per worker if there are several, and gives bitwise equal results.",
       false, "none|world"},

      {"mixture", "kind", choice, "temperature", "How the samples of a step are divided among tasks.", true,
       "proportional|uniform|temperature|explicit"},
      {"mixture", "temperature", number, "2", "Temperature: a task's share is proportional to samples^(1/temperature).",
       true, ">0", "", "mixture.kind=temperature"},
      {"mixture", "cap", integer, "0",
       "Maximum number of samples that a task counts as when shares are computed. 0 disables it.", true, ">=0", "",
       "mixture.kind=temperature or mixture.phases~temperature"},
      {"mixture", "batch", integer, "64", "Number of samples per step over all tasks and workers.", true, ">=1"},
      {"mixture", "phases", text, "",
       "Mixtures that replace the first one at given steps: STEP KIND, separated by commas. temperature is followed by "
       "a number, and explicit by TASK=RATE for each task; tasks that are not named take no part. Example: 2000 "
       "uniform, 4000 temperature 5, 6000 explicit section=2 en-it=1.",
       true},

      {"balance", "method", choice, "equal",
       "How the tasks' losses are weighted: equally (equal), or by task.NAME.weight (static).", true, "equal|static"},

      {"task", "importance", number, "1",
       "Importance of the task, relative to those of the other tasks and to 1 for \"no task\". Learned importances "
       "start at this value.",
       true, ">0", "", "attention.mode=competitive"},
      {"task", "weight", number, "1", "Relative weight of the task's loss.", true, ">0", "", "balance.method=static"},
      {"task", "cost", number, "",
       "Seconds that a worker needs to train on one sample. Tasks are placed on workers by it. Give it for all tasks "
       "or for none; if not given, it is estimated. polyhead plan --calibrate measures it.",
       false, ">0"},
      {"task", "workers", list, "",
       "Ranks of the workers that hold the task's head, such as 0, 2, 4-7. If not given, the task is placed by its "
       "cost.",
       false},
      {"task", "rate", number, "", "Relative sampling rate of the task. 0 leaves the task out.", true, ">=0", "",
       "mixture.kind=explicit"},
      {"task", "patience", integer, "",
       "The same as run.task_patience, for this task only. If not given, run.task_patience is used.", false, ">=0", "",
       "run.eval_every!=0 unless 0"},
      {"task", "metric", text, "loss",
       "The metric on the valid split that early stopping of the task and run.best = mean use.", true, "", "",
       "run.best=mean or patience!=0"},
      {"task", "head", text, "",
       "Name of the head, out of those that the program registers for the task's kind. If empty, the default head of "
       "the kind is used.",
       true},
      {"task", "head_options", list, "",
       "Options of a head that is not part of Polyhead: KEY=VALUE, separated by commas.", true, "", "", "head"},
      {"task", "dropout", number, "", "Dropout probability of the head. If not given, encoder.dropout is used.", true,
       ">=0,<1"},
      {"task", "label_smoothing", number, "",
       "Label smoothing. If not given, it is 0.1 for translation and 0 otherwise.", true, ">=0,<1", "",
       "kind=classification|translation unless 0"},
      {"task", "class_weights", choice, "none",
       "Weights of the classes in the loss. With balanced, the loss of a sample is multiplied by samples / (classes x "
       "samples of its class), counted in the train split.",
       true, "none|balanced", "", "kind=classification"},
      {"task", "focal_gamma", number, "0",
       "Gamma of the focal loss, which multiplies the loss of a sample by (1 - p)^gamma. 0 disables it.", true, ">=0",
       "", "kind=classification"},
      {"task", "loss", choice, "mse",
       "The loss of standardised values: mean squared error (mse) or Huber loss (huber).", true, "mse|huber", "",
       "kind=regression"},
      {"task", "delta", number, "1",
       "Delta of the Huber loss: the error, in standard deviations of the target, above which the loss grows linearly.",
       true, ">0", "", "kind=regression and loss=huber"},
      {"task", "decoder_layers", integer, "2", "Number of blocks of the decoder.", true, ">=1", "", "kind=translation"},
      {"task", "max_target", integer, "128", "Maximum number of tokens that search generates.", true, ">=1", "",
       "kind=translation"},
      {"task", "teacher", path, "",
       "Knowledge distillation: the folder of the run that holds the teacher of this task's head. If not given, the "
       "task has no teacher."},
      {"task", "teacher_checkpoint", text, "",
       "The teacher's checkpoint: latest (the default), best (by that run's run.best), or the step of an existing "
       "checkpoint. It does not change when the run is resumed.",
       true, "", "", "teacher"},
      {"task", "teacher_weights", choice, "",
       "Whether to use the teacher's weights after its last update (last, the default) or their moving average "
       "(average).",
       true, "last|average", "", "teacher"},
      {"task", "teacher_task", text, "",
       "The task of the teacher's run to learn from. If not given, it is the task with the same name, or else the only "
       "task of the same kind.",
       true, "", "", "teacher"},
      {"task", "teacher_hash", text, "",
       "Hash (xxh3-64) of the teacher's encoder and head. It is computed at the start of the run and checked on "
       "resuming.",
       true, "", "", "teacher"},
      {"task", "distill", number, "",
       "Weight of the distance from the teacher in the loss; the task's own loss has the rest. If not given, it is "
       "0.5.",
       true, ">=0,<=1", "", "teacher"},
      {"task", "distill_temperature", number, "",
       "Temperature at which probabilities are compared with the teacher's. If not given, it is 2.", true, ">0", "",
       "teacher and kind!=regression unless 2"},
      {"task", "mask_share", number, "0.15", "Fraction of tokens to predict.", true, ">0,<=1", "", "kind=masked_lm"},
      {"task", "mask_token", number, "0.8", "Fraction of the tokens to predict that are replaced by the mask token.",
       true, ">=0,<=1", "", "kind=masked_lm"},
      {"task", "mask_random", number, "0.1", "Fraction of the tokens to predict that are replaced by a random token.",
       true, ">=0,<=1", "", "kind=masked_lm"},
  };
  return table;
}

}  // namespace polyhead
