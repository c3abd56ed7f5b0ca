// Encoders of the BERT family, in the files of Hugging Face's transformers: config.json and model.safetensors. Models
// of the types bert (MiniLM has it too), distilbert, roberta and xlm-roberta are read; bert is written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/model/arena.h"
#include "core/model/options.h"

namespace polyhead {

// What config.json says.
struct PretrainedEncoder {
  std::string model_type;           // "bert"
  EncoderOptions options;           // the form bert and what pretrained_options() names; others have their defaults
  std::int64_t vocab_size = 0;      // rows of the token table
  std::int64_t first_position = 0;  // rows of the position table that no token uses, at its beginning
};

// The options of [encoder] that a pretrained encoder determines, and their values.
std::vector<std::pair<std::string, std::string>> pretrained_options(const PretrainedEncoder& encoder);

// Reads config.json. Throws Error(config) for a model of another type, or with a part that this program does not
// have; and Error(data) for a file that is not such a configuration.
PretrainedEncoder read_pretrained(const std::filesystem::path& folder);

// Checks that the files with the weights, model.safetensors or those that model.safetensors.index.json names, have all
// tensors of the encoder in the shapes that config.json implies. Returns a hash (xxh3-64) of the files. Throws
// - Error(config) if there are none, with the command that converts pytorch_model.bin if there is that file;
// - Error(data), which names file and tensor, if a tensor is missing or has another shape.
std::uint64_t check_pretrained(const std::filesystem::path& folder, const PretrainedEncoder& encoder);

// The names of tensors, in alphabetical order.
struct LoadedTensors {
  std::vector<std::string> unused;  // of the files
  std::vector<std::string> fresh;   // of the arena, which keep their values
};

// Copies the weights to the parameters of an encoder with these options. Of a token table with more rows than the
// encoder's, the first ones are taken. Throws as check_pretrained().
LoadedTensors load_pretrained(const std::filesystem::path& folder, const PretrainedEncoder& encoder,
                              const Arena& arena);

// Writes config.json and model.safetensors of a model of the type bert with the same states, in float32, to a folder
// that exists. pad: the id of the tokenizer; tensors: see Encoder::plain_tensors(). Throws Error(cannot_write).
void write_pretrained(const std::filesystem::path& folder, const EncoderOptions& options, std::int64_t pad,
                      const std::map<std::string, torch::Tensor>& tensors);

}  // namespace polyhead
