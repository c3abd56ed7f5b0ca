// Compares descriptions of tokenizers.
#include "datasets/tokenizer/tokenizer_info.h"

namespace polyhead {

bool is_tokenizer_kind(const std::string& kind) {
  return kind == "sentencepiece" || kind == "xlm_roberta" || kind == "wordpiece";
}

std::size_t separators(const TokenizerInfo& info) {
  return info.kind == "xlm_roberta" ? 2 : 1;
}

bool same_tokenizer(const TokenizerInfo& a, const TokenizerInfo& b) {
  return a.vocab_size == b.vocab_size && (a.sha256.empty() || b.sha256.empty() || a.sha256 == b.sha256);
}

}  // namespace polyhead
