// Exports a trained model.
#include "distributed/checkpoint/export.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/safetensors.h"
#include "core/exchange/hugging_face.h"
#include "datasets/tokenizer/pretrained.h"

namespace polyhead {
namespace {

// Adds the parameters of an arena, whose copies in memory `kept` owns.
void add(std::map<std::string, StoredTensor>& stored, std::vector<torch::Tensor>& kept, const Arena& arena,
         const std::string& prefix) {
  for (const Parameter& parameter : arena.parameters()) {
    const torch::Tensor& tensor = kept.emplace_back(parameter.tensor.detach().to(torch::kCPU).contiguous());
    stored[prefix + parameter.name] = {tensor.scalar_type() == torch::kFloat64 ? "F64" : "F32",
                                       parameter.shape,
                                       {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  }
}

}  // namespace

void export_hugging_face(const TrainedModel& trained, const std::filesystem::path& run_dir, const std::string& task,
                         const std::filesystem::path& folder) {
  const EncoderOptions& encoder = trained.description.encoder;
  const auto refuse = [&](const std::string& why) {
    throw Error(Exit::config, fmt::format("{}: {}", run_dir.string(), why));
  };
  const bool of_task = encoder.share == Sharing::task_lora;
  if (encoder.form != EncoderForm::bert)
    refuse(
        "its encoder has pre-norm blocks and rotary positions (encoder.form = pre_norm), which transformers' BERT "
        "has not; export it with --format safetensors");
  if (!task.empty() && !of_task)
    refuse(fmt::format("--task {}: with encoder.share = {} a task has no updates to merge; leave it out", task,
                       name_of(encoder.share)));
  if (task.empty() && of_task)
    refuse("with encoder.share = task_lora each task has updates of its own; give the task to merge with --task");
  const TaskParts* parts = of_task ? trained.model->head(trained.description.task(task)).encoder_parts() : nullptr;
  const auto tensors = trained.model->encoder().plain_tensors(parts);
  if (!tensors)
    refuse(
        fmt::format("with encoder.share = {} each task has parts of the encoder of its own, which transformers' "
                    "BERT has not; export it with --format safetensors",
                    name_of(encoder.share)));
  const TokenizerInfo& tokenizer = trained.description.tokenizer;
  write_pretrained(folder, encoder, tokenizer.pad, *tensors);
  write_pretrained_tokenizer(folder, run_dir, tokenizer, encoder.positions);
}

void export_safetensors(const TrainedModel& trained, const std::filesystem::path& run_dir,
                        const std::filesystem::path& folder) {
  std::map<std::string, StoredTensor> stored;
  std::vector<torch::Tensor> kept;
  add(stored, kept, trained.model->encoder().arena(), "encoder.");
  for (const auto& [task, head] : trained.model->heads())
    add(stored, kept, head->arena(), fmt::format("head.{}.", task));
  write_safetensors(folder / "model.safetensors", stored, {{"format", "pt"}});
  write_file_atomically(folder / "model.json", to_json(trained.description) + "\n");
  const std::string& file = trained.description.tokenizer.file;
  write_file_atomically(folder / file, read_file(run_dir / file));
}

}  // namespace polyhead
