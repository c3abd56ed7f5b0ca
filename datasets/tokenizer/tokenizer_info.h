// The tokenizer of a data set, as its manifest describes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace polyhead {

struct TokenizerInfo {
  // "sentencepiece"; "xlm_roberta", which is SentencePiece with the ids of XLM-RoBERTa, and two eos between the texts
  // of a pair; or "wordpiece".
  std::string kind;
  std::string file;  // relative to the data set's folder
  std::string sha256;
  std::int64_t vocab_size = 0;
  std::int64_t pad = 0, unk = 1, bos = 2, eos = 3, mask = 4;
  // wordpiece: whether texts are lower-cased, if a tokenizer_config.json differs from what the vocabulary implies.
  std::optional<bool> lowercase = std::nullopt;
};

// The kinds, for messages.
inline constexpr const char* kTokenizerKinds = "sentencepiece, xlm_roberta and wordpiece";
bool is_tokenizer_kind(const std::string& kind);

// Number of eos between the texts of a pair.
std::size_t separators(const TokenizerInfo& info);

// Whether vocab_size is equal, and sha256 too if both have it.
bool same_tokenizer(const TokenizerInfo& a, const TokenizerInfo& b);

}  // namespace polyhead
