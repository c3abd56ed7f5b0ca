// Names in PyTorch's examples, Hugging Face's Trainer, fairseq and Lightning.
#include "launch/other_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace polyhead {
namespace {

struct OtherName {
  std::string_view names;    // separated by spaces, with '_'
  std::string_view section;  // section of our option; "-": there is none, `word` is the whole answer
  std::string_view key;
  std::string_view word = {};  // note about differences
};

constexpr std::array kOtherNames = {
    OtherName{"lr learning_rate", "optimizer", "lr"},
    OtherName{"batch_size bs train_batch_size per_device_train_batch_size global_batch_size", "mixture", "batch",
              "it counts the samples of a step over all tasks and workers"},
    OtherName{"batch_size bs eval_batch_size", "", "batch"},
    OtherName{"epochs num_epochs n_epochs max_epochs num_train_epochs", "run", "steps",
              "training is counted in steps of mixture.batch samples; the number of epochs of each task is printed at "
              "the start"},
    OtherName{"max_steps num_steps num_train_steps train_steps iterations max_iters", "run", "steps"},
    OtherName{"warmup_steps num_warmup_steps warmup_updates", "optimizer", "warmup"},
    OtherName{"warmup_ratio", "optimizer", "warmup", "it counts steps"},
    OtherName{"lr_scheduler lr_scheduler_type scheduler", "optimizer", "schedule"},
    OtherName{"wd adam_weight_decay", "optimizer", "weight_decay"},
    OtherName{"adam_beta1", "optimizer", "beta1"},
    OtherName{"adam_beta2", "optimizer", "beta2"},
    OtherName{"eps adam_epsilon", "optimizer", "epsilon"},
    OtherName{"max_grad_norm grad_clip clip_norm gradient_clip_val", "optimizer", "clip"},
    OtherName{"gradient_accumulation_steps accumulate_grad_batches grad_accum update_freq", "run", "accumulate"},
    OtherName{"output_dir out_dir save_dir log_dir checkpoint_dir default_root_dir", "run", "run_dir"},
    OtherName{"out output", "run", "run_dir"},
    OtherName{"run output_dir model model_name_or_path model_path load_from", "", "run-dir"},
    OtherName{"input input_file", "", "in"},
    OtherName{"output output_file predictions", "", "out"},
    OtherName{"save_steps save_interval save_every", "run", "checkpoint_every"},
    OtherName{"save_total_limit keep_last_n_checkpoints", "run", "keep"},
    OtherName{"eval_steps eval_interval val_check_interval", "run", "eval_every"},
    OtherName{"early_stopping_patience", "run", "patience"},
    OtherName{"metric_for_best_model", "run", "best"},
    OtherName{"pretrained pretrained_model model_name_or_path", "encoder", "from",
              "it takes the folder of a Hugging Face model; the folder of a run is given as run.init_from"},
    OtherName{"init init_checkpoint finetune finetune_from load_from", "run", "init_from",
              "it takes the folder of a run"},
    OtherName{"resume_from_checkpoint resume_from restore_file", "run", "run_dir",
              "'polyhead train --run-dir RUN' resumes the run in that folder"},
    OtherName{"data_dir dataset dataset_name train_file train_data data_path", "run", "data",
              "polyhead import creates a data set from files"},
    OtherName{"num_workers dataloader_num_workers", "run", "prefetch", "it counts the steps that are prepared ahead"},
    OtherName{"fp16 bf16 amp precision", "run", "dtype", "it can be float32 or float64"},
    OtherName{"gpus devices n_gpu nproc_per_node world_size nproc np nodes num_nodes", "-", "",
              "the launcher starts the workers, as in 'mpirun -n 4 polyhead train …'"},
    OtherName{"hidden_size hidden_dim d_model embed_dim n_embd", "encoder", "dim"},
    OtherName{"num_layers num_hidden_layers n_layer n_layers", "encoder", "layers"},
    OtherName{"num_heads num_attention_heads n_head n_heads nhead", "encoder", "heads"},
    OtherName{"intermediate_size dim_feedforward ffn_dim", "encoder", "ffn"},
    OtherName{"max_position_embeddings", "encoder", "positions"},
    OtherName{"type_vocab_size", "encoder", "token_types"},
    OtherName{"layer_norm_eps layer_norm_epsilon", "encoder", "norm_epsilon"},
    OtherName{"hidden_act activation_function", "encoder", "activation"},
    OtherName{"hidden_dropout_prob", "encoder", "dropout"},
    OtherName{"attention_probs_dropout_prob", "encoder", "attention_dropout"},
    OtherName{"gradient_checkpointing", "encoder", "activation_checkpointing", "with the value blocks"},
    OtherName{"max_seq_length max_seq_len max_length max_len", "", "max-length"},
    OtherName{"max_seq_length max_seq_len max_length max_len", "dataset", "max_length"},
    OtherName{"max_seq_length max_seq_len max_length max_len", "-", "",
              "the longest input is set when data are imported, by dataset.max_length of polyhead import"},
    OtherName{"label_smoothing_factor", "task", "label_smoothing"},
    OtherName{"num_beams beam_size", "", "beam"},
};

std::string normal(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

bool holds(std::string_view names, const std::string& name) {
  return fmt::format(" {} ", names).find(" " + name + " ") != std::string::npos;
}

}  // namespace

std::string hint_of_other_name(std::string_view name, std::span<const Option> table) {
  const std::string wanted = normal(name);
  const bool trains =
      std::ranges::any_of(table, [](const Option& o) { return o.section == "run" && o.key == "run_dir"; });
  for (const OtherName& other : kOtherNames) {
    if (!holds(other.names, wanted)) continue;
    if (other.section == "-") {
      if (trains) return fmt::format(" ({})", other.word);
      continue;
    }
    const auto option =
        std::ranges::find_if(table, [&](const Option& o) { return o.section == other.section && o.key == other.key; });
    if (option == table.end()) continue;
    const std::string written = option->alias.size() > 1    ? std::string(option->alias)
                                : option->section.empty()   ? std::string(option->key)
                                : option->section == "task" ? fmt::format("task.NAME.{}", option->key)
                                                            : fmt::format("{}.{}", option->section, option->key);
    return fmt::format(" (did you mean --{}?{}{})", written, other.word.empty() ? "" : " ", other.word);
  }
  return "";
}

}  // namespace polyhead
