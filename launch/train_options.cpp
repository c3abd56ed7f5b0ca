// The table of a training run's options.
#include "launch/options.h"

namespace polyhead {

std::span<const Option> train_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "config", path, "", "The configuration file (INI).", false, {}, "c"},
      {"", "print-config", flag, "", "Print every option's value and where it came from, and end."},

      {"run", "data", path, "", "The data set's folder, as polyhead import writes it.", false, {}, "data"},
      {"run",
       "run_dir",
       path,
       "",
       "The run's folder: configuration, checkpoints, metrics, logs.",
       false,
       {},
       "run-dir"},
      {"run", "data_hash", text, "",
       "xxh3-64 of the tokenizer and the tasks' train shards, as dataset.json names them; worked out at the start, "
       "checked on resuming.",
       true},
      {"run", "tasks", list, "", "The tasks to train, separated by commas; all of the data set when empty.", true},
      {"run", "seed", integer, "1", "Seed of initial values, sampling, dropout and masks.", true, ">=0"},
      {"run", "steps", integer, "1000", "Steps to train; the learning rate's schedule ends there.", true, ">=1"},
      {"run", "eval_every", integer, "0", "Evaluate on valid every so many steps; 0: at the end only.", false, ">=0"},
      {"run", "eval_samples", integer, "500",
       "Samples of valid to evaluate on, for each task: the same ones at every evaluation, spread over the split; 0: "
       "all.",
       false, ">=0"},
      {"run", "patience", integer, "0",
       "Early stopping: training ends after so many evaluations without a better run.best; 0: it does not.", true,
       ">=0"},
      {"run", "task_patience", integer, "0",
       "Early stopping of each task: it is finished after so many evaluations without a better task.NAME.metric; its "
       "head is frozen and its data leave the mixture. Training ends when all are. 0: never.",
       true, ">=0"},
      {"run", "best", text, "",
       "What early stopping and the best checkpoint go by: TASK:METRIC on valid, or mean: the mean of all tasks' "
       "task.NAME.metric, negative where lower is better; none when empty.",
       true},
      {"run", "checkpoint_every", integer, "0", "Save a checkpoint every so many steps; 0: at the end only.", false,
       ">=0"},
      {"run", "checkpoint_seconds", number, "0", "Save a checkpoint when the newest is so old; 0: do not.", false,
       ">=0"},
      {"run", "keep", integer, "2", "Checkpoints to keep.", false, ">=1"},
      {"run", "stop_at", integer, "0", "End after this step as if interrupted, saved and able to go on; 0: do not.",
       false, ">=0"},
      {"run", "resume", choice, "auto", "Whether a run folder with a checkpoint goes on (auto) or is refused (never).",
       false, "auto|never"},
      {"run", "hang_timeout", number, "600",
       "A worker that gets nothing done for so many seconds, or is not heard of, ends the run with code 71 and is "
       "named; 0: never.",
       false, ">=0"},
      {"run", "init_timeout", number, "300",
       "Seconds that workers wait for each other at the start before those that have not come are named and the run "
       "ends with code 71; 0: for ever.",
       false, ">=0"},
      {"run", "trace", text, "",
       "Write what every worker does in these steps as a Chrome trace (Perfetto reads it) to the run folder's trace/: "
       "steps 10-20; none when empty.",
       false},
      {"run", "threads", integer, "0",
       "Computing threads of a worker; 0: 1 with reproducible world, else OMP_NUM_THREADS, else what the run began "
       "with, "
       "else as many of the cores that this worker may use as a short measurement finds fastest (one worker) or its "
       "share of them (several).",
       false, ">=0"},
      {"run", "data_access", choice, "auto",
       "How shards are read: mapped, or by pread, which auto takes on a network file system.", false, "auto|map|pread"},
      {"run", "verify_data", choice, "blocks",
       "When checksums of the data are compared: of a block at its first touch, of everything at the start (open), or "
       "not at all (off).",
       false, "blocks|open|off"},
      {"run", "prefetch", integer, "2",
       "Steps whose batches are made ahead, in a thread of their own; 0: in the training thread.", false, ">=0"},
      {"run", "accumulate", integer, "1",
       "Gradient accumulation: a worker's samples of a step are cut into so many micro-batches, which it processes one "
       "after another before the one update; less memory, the same update up to rounding.",
       true, ">=1"},
      {"run", "reproducible", choice, "run",
       "The same bits again on the same number of workers (run), or on any number of workers and any placement "
       "(world): "
       "slower, on CPUs, of one kind, with one number of threads.",
       true, "run|world"},
      {"run", "micro_batch", integer, "16",
       "Of reproducible world: so many samples of a task, neighbours in its stream, are computed on by themselves.",
       true, ">=1"},
      {"run", "dtype", choice, "float32", "The type of parameters and arithmetic.", true, "float32|float64"},
      {"run", "device", choice, "auto", "Where to compute; auto takes a GPU where there is one.", false,
       "auto|cpu|cuda"},

      {"encoder", "form", choice, "pre_norm",
       "The encoder's form: pre_norm has rotary positions; bert is BERT's: post-norm blocks, learned positions, token "
       "types.",
       true, "pre_norm|bert"},
      {"encoder", "layers", integer, "4", "Transformer blocks.", true, ">=1"},
      {"encoder", "dim", integer, "256", "Width of a token's state; a multiple of heads.", true, ">=2"},
      {"encoder", "heads", integer, "4", "Heads of self-attention.", true, ">=1"},
      {"encoder", "ffn", integer, "1024", "Width of the feed-forward layer.", true, ">=1"},
      {"encoder", "positions", integer, "512", "Of form bert: tokens of the longest input.", true, ">=1"},
      {"encoder", "dropout", number, "0.1", "Dropout rate.", true, ">=0,<1"},
      {"encoder", "attention_dropout", number, "0",
       "Dropout rate of the weights of self-attention, and of those of a translation's decoder.", true, ">=0,<1"},
      {"encoder", "drop_path", number, "0",
       "Stochastic depth: the rate at which a sample passes by both branches of the last block; it grows linearly from "
       "0 at the first.",
       true, ">=0,<1"},
      {"encoder", "activation_checkpointing", choice, "off",
       "Whether backward computes again what happened inside each block (blocks), which saves memory, costs a "
       "third more time in the encoder and changes no bit.",
       false, "off|blocks"},
      {"encoder", "share", choice, "hard",
       "What tasks share of the blocks: everything (hard); all but an adapter of each task behind every block "
       "(adapters); all but each task's masks over every block's states (mtan); in the top blocks experts in the "
       "feed-forward's place, mixed by each task's gate, all shared (mmoe) or with some of the task's own (ple).",
       true, "hard|adapters|mtan|mmoe|ple"},
      {"encoder", "adapter_dim", integer, "32",
       "Of share adapters and mtan: width of the hidden layer of an adapter or mask.", true, ">=1"},
      {"encoder", "experts", integer, "4",
       "Of share mmoe and ple: shared experts of a block, each ffn / experts wide; must divide ffn.", true, ">=1"},
      {"encoder", "expert_layers", integer, "1", "Of share mmoe and ple: how many of the top blocks have experts.",
       true, ">=1"},
      {"encoder", "task_experts", integer, "1",
       "Of share ple: experts of each task's own in such a block, as wide as the shared ones.", true, ">=1"},

      {"attention", "mode", choice, "competitive",
       "What a word weighs for a task: a share of it, for which tasks compete (competitive); by a softmax over the "
       "text's words (independent); all the same (mean); only the first (first).",
       true, "competitive|independent|mean|first"},
      {"attention", "heads", integer, "1", "Heads of the task attention.", true, ">=1"},
      {"attention", "temperature", number, "1", "Temperature of a word's weights over tasks.", true, ">0"},
      {"attention", "floor", number, "0",
       "Epsilon: the share of a word's weight that is spread evenly over tasks (competitive) or words (independent).",
       true, ">=0,<1"},
      {"attention", "entropy_bonus", number, "0",
       "Times this, the mean entropy (nats) of its words' weights over tasks is taken from each task's loss; 0: none.",
       true, ">=0"},
      {"attention", "importance", choice, "learned",
       "Of mode competitive: tasks' importances are learned, or fixed at task.NAME.importance.", true, "learned|fixed"},

      {"optimizer", "lr", number, "5e-4", "The largest learning rate.", true, ">0"},
      {"optimizer", "warmup", integer, "100", "Steps until the learning rate is reached.", true, ">=0"},
      {"optimizer", "schedule", choice, "cosine",
       "The learning rate after the warm-up: cosine and linear fall to 0 at run.steps, inverse_sqrt falls with the "
       "root of the step, constant stays.",
       true, "cosine|linear|inverse_sqrt|constant"},
      {"optimizer", "layer_decay", number, "1",
       "Layer-wise decay: the encoder's learning rate is multiplied by this once for the top block, twice for the one "
       "below, and so on down to the embedding; heads and task attention keep theirs.",
       true, ">0,<=1"},
      {"optimizer", "weight_decay", number, "0.01", "Decoupled weight decay; norms, biases and task queries have none.",
       true, ">=0"},
      {"optimizer", "beta1", number, "0.9", "Decay of the first moment.", true, ">=0,<1"},
      {"optimizer", "beta2", number, "0.98", "Decay of the second moment.", true, ">=0,<1"},
      {"optimizer", "epsilon", number, "1e-8", "Added to the root of the second moment.", true, ">0"},
      {"optimizer", "clip", number, "1", "Largest norm of the encoder's gradient; 0: no bound.", true, ">=0"},
      {"optimizer", "head_clip", number, "1", "Largest norm of each head's gradient; 0: no bound.", true, ">=0"},
      {"optimizer", "ema", number, "0",
       "Decay of an exponential moving average of the weights, which checkpoints keep beside them (evaluate and "
       "predict: --weights average); in step n it is (1 + n) / (10 + n) at most; 0: none is kept.",
       true, ">=0,<1"},
      {"optimizer", "shard", choice, "none",
       "Whether every worker keeps the optimizer state of the whole encoder (none) or of its share of it (world: ZeRO "
       "stage 1): less memory on each of several workers, the same bits.",
       false, "none|world"},

      {"mixture", "kind", choice, "temperature", "How a step's samples are shared out among tasks.", true,
       "proportional|uniform|temperature|explicit"},
      {"mixture", "temperature", number, "2", "Of kind temperature: shares go as samples^(1/temperature).", true, ">0"},
      {"mixture", "cap", integer, "0", "Of kind temperature: no task counts as more than so many samples; 0: no cap.",
       true, ">=0"},
      {"mixture", "batch", integer, "64", "Samples a step over all tasks and workers.", true, ">=1"},
      {"mixture", "phases", text, "",
       "Mixtures that take over at given steps: STEP KIND, separated by commas, with a number after temperature and "
       "TASK=RATE after explicit (tasks not named take no part). Example: 2000 uniform, 4000 temperature 5, 6000 "
       "explicit section=2 en-it=1.",
       true},

      {"balance", "method", choice, "equal",
       "How tasks' losses are weighted: equally, or by task.NAME.weight (static).", true, "equal|static"},

      {"task", "importance", number, "1",
       "Of attention.mode competitive: the task's importance at the start, relative to the other tasks' and to 1 for "
       "no task.",
       true, ">0"},
      {"task", "weight", number, "1", "Of balance.method static: the task's relative weight.", true, ">0"},
      {"task", "cost", number, "",
       "Seconds that a worker takes to train on one sample, by which tasks are spread over workers; for all tasks or "
       "for none, then it is estimated. polyhead plan --calibrate measures it.",
       false, ">0"},
      {"task", "workers", list, "",
       "The workers that hold the task's head, as 0, 2, 4-7; placed by cost when not given.", false},
      {"task", "rate", number, "", "Of mixture.kind explicit: the task's relative rate; 0 leaves it out.", true, ">=0"},
      {"task", "patience", integer, "", "As run.task_patience, which it is when not given.", true, ">=0"},
      {"task", "metric", text, "loss",
       "What early stopping of the task and run.best = mean go by: a metric that evaluations on valid give.", true},
      {"task", "head", text, "",
       "The head that reads the task: the name of one that the program registers for the task's kind; the kind's own "
       "when empty.",
       true},
      {"task", "head_options", list, "", "Of heads that Polyhead does not bring: KEY=VALUE, separated by commas.",
       true},
      {"task", "dropout", number, "", "Dropout rate of the head; encoder.dropout when not given.", true, ">=0,<1"},
      {"task", "label_smoothing", number, "", "Label smoothing; when not given 0.1 for translation, else 0.", true,
       ">=0,<1"},
      {"task", "class_weights", choice, "none",
       "Of classification: balanced weights a sample's loss by samples / (classes x samples of its class) of train.",
       true, "none|balanced"},
      {"task", "focal_gamma", number, "0",
       "Of classification: focal loss, (1 - p)^gamma times a sample's loss; 0: off.", true, ">=0"},
      {"task", "loss", choice, "mse", "Of regression: squared error or Huber's loss, of standardised values.", true,
       "mse|huber"},
      {"task", "delta", number, "1",
       "Of loss = huber: the error, in deviations of the target, from which it grows straight.", true, ">0"},
      {"task", "decoder_layers", integer, "2", "Of translation: blocks of the decoder.", true, ">=1"},
      {"task", "max_target", integer, "128", "Of translation: tokens that search writes at most.", true, ">=1"},
      {"task", "teacher", path, "",
       "Knowledge distillation: the folder of a run whose head this one follows; none when not given."},
      {"task", "teacher_checkpoint", text, "",
       "Of the teacher: latest (when not given), best (of its run.best), or the step of one that is there; it stays "
       "this one on resuming.",
       true},
      {"task", "teacher_weights", choice, "",
       "Of the teacher: the weights as its last update left them (when not given), or their moving average.", true,
       "last|average"},
      {"task", "teacher_task", text, "",
       "The task of the teacher's run to follow; when not given that of the same name, else the only one of the same "
       "kind.",
       true},
      {"task", "teacher_hash", text, "",
       "xxh3-64 of the teacher's encoder and head; worked out at the start, checked on resuming.", true},
      {"task", "distill", number, "",
       "Of a teacher: the share of the loss that is the distance from it, the rest is the task's own; 0.5 when not "
       "given.",
       true, ">=0,<=1"},
      {"task", "distill_temperature", number, "",
       "Of a teacher: the temperature at which probabilities are compared (not of regression); 2 when not given.", true,
       ">0"},
      {"task", "mask_share", number, "0.15", "Of masked_lm: the share of tokens to predict.", true, ">0,<=1"},
      {"task", "mask_token", number, "0.8", "Of masked_lm: the share of those that become the mask token.", true,
       ">=0,<=1"},
      {"task", "mask_random", number, "0.1", "Of masked_lm: the share of those that become a random token.", true,
       ">=0,<=1"},
  };
  return table;
}

}  // namespace polyhead
