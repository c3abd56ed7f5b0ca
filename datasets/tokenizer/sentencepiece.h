// SentencePiece (Kudo and Richardson, 2018): unigram models, trained by import or given by the user.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {

// Loads a model file. Sets kind, size and special ids in `info` to those of the model. Throws Error(data).
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file, TokenizerInfo& info);

// Loads the model of XLM-RoBERTa, whose special tokens have other ids than in the file: bos 0, pad 1, eos 2, unk 3, and
// <mask> is the last one. All other pieces have the id of the file plus 1.
std::unique_ptr<Tokenizer> load_xlm_roberta(const std::filesystem::path& file, TokenizerInfo& info);

// Trains a unigram model and returns its bytes. pad, unk, bos, eos and <mask> have the ids 0 to 4.
// - The same texts in the same order give the same bytes on any number of cores. Texts are cut to 4096 bytes.
// - vocab_size is an upper bound: texts that allow fewer pieces give as many as they allow.
// - normalize: the model converts texts to Unicode's form KC; otherwise it keeps them unchanged.
// - Throws Error(data) if vocab_size is too small for the characters of the texts; the message has a size that is large
//   enough.
std::string train_sentencepiece(const std::vector<std::string>& texts, std::int64_t vocab_size, bool normalize = true);

}  // namespace polyhead
