// The tokenizer of a data set, as its manifest describes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace polyhead {

struct TokenizerInfo {
  std::string kind;  // "sentencepiece" or "wordpiece"
  std::string file;  // relative to the data set's folder
  std::string sha256;
  std::int64_t vocab_size = 0;
  std::int64_t pad = 0, unk = 1, bos = 2, eos = 3, mask = 4;
  // wordpiece: whether texts are lower-cased, if a tokenizer_config.json differs from what the vocabulary implies.
  std::optional<bool> lowercase = std::nullopt;
};

// Whether vocab_size is equal, and sha256 too if both have it.
bool same_tokenizer(const TokenizerInfo& a, const TokenizerInfo& b);

}  // namespace polyhead
