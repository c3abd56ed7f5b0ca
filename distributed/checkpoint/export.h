// Writes a trained model in files that other programs read.
#pragma once

#include <filesystem>

#include "distributed/checkpoint/trained.h"

namespace polyhead {

// Writes the encoder as a model of Hugging Face's transformers, and its tokenizer, to a folder that exists. run_dir
// holds the tokenizer. task: whose parts of the encoder are merged into it; "" for none. Throws Error(config) if
// transformers' BERT cannot compute the same states, and for a task without parts; and Error(cannot_write).
void export_hugging_face(const TrainedModel& trained, const std::filesystem::path& run_dir, const std::string& task,
                         const std::filesystem::path& folder);

// Writes model.safetensors, with the tensors of the encoder as encoder.NAME and those of the heads as
// head.K.NAME, where K is the task's place in the list of tasks; model.json, the description of the model as in a
// checkpoint's state.json; and the tokenizer's file. docs/model.md explains the tensors. Throws Error(cannot_write).
void export_safetensors(const TrainedModel& trained, const std::filesystem::path& run_dir,
                        const std::filesystem::path& folder);

}  // namespace polyhead
