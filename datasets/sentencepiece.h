// SentencePiece (Kudo and Richardson, 2018): unigram models, trained here or given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "datasets/tokenizer.h"

namespace polyhead {

// Of a model file; kind, size and special ids of `info` are the model's own. Throws Error(data).
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file, TokenizerInfo& info);

// A unigram model's bytes, trained on the texts: pad, unk, bos, eos, <mask> are 0..4. The same texts in the same order
// give the same bytes on any number of cores. Texts are cut to 4096 bytes. vocab_size is an upper bound: texts that
// allow fewer pieces give the most that they allow. Throws Error(data) when vocab_size is too small for the texts'
// characters, and says which size would do.
// `normalize`: the model puts texts into Unicode's form KC; else it keeps them as they are.
std::string train_sentencepiece(const std::vector<std::string>& texts, std::int64_t vocab_size, bool normalize = true);

}  // namespace polyhead
