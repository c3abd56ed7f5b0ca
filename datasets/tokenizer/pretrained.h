// The tokenizer of a pretrained model, in the files of Hugging Face's transformers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "datasets/tokenizer/tokenizer_info.h"

namespace polyhead {

struct PretrainedTokenizer {
  std::string kind;     // as in TokenizerInfo
  std::string file;     // its name in a data set: "vocab.txt" or "tokenizer.model"
  std::string content;  // of that file
  std::optional<bool> lowercase;
  std::filesystem::path source;  // the file that it was read from
};

// Reads the first of these files that a folder has:
// - vocab.txt: WordPiece;
// - tokenizer.json with a model of the type WordPiece, which vocab.txt is made from;
// - sentencepiece.bpe.model: SentencePiece with the ids of XLM-RoBERTa;
// - tokenizer.model, spiece.model or spm.model: SentencePiece.
// Whether WordPiece lower-cases texts comes from tokenizer_config.json, or else from tokenizer.json. Throws
// Error(config) if there is no such file, or the tokenizer treats texts in a way that this program does not have; and
// Error(data) for a damaged file.
PretrainedTokenizer read_pretrained_tokenizer(const std::filesystem::path& folder);

// Returns what is different in the tokenizer of a data set, such as "other pieces"; "" if it is the same one.
std::string tokenizer_difference(const PretrainedTokenizer& pretrained, const TokenizerInfo& info);

// Writes the files of a tokenizer that transformers' AutoTokenizer reads to a folder that exists: WordPiece and
// xlm_roberta. Of SentencePiece, transformers has no class with our ids, so the model's file is copied, for the package
// sentencepiece. from: the folder with info.file; max_length: of an input, in tokens. Throws Error(cannot_write).
void write_pretrained_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& from,
                                const TokenizerInfo& info, std::int64_t max_length);

}  // namespace polyhead
