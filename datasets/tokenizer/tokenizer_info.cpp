// Compares descriptions of tokenizers.
#include "datasets/tokenizer/tokenizer_info.h"

namespace polyhead {

bool same_tokenizer(const TokenizerInfo& a, const TokenizerInfo& b) {
  return a.vocab_size == b.vocab_size && (a.sha256.empty() || b.sha256.empty() || a.sha256 == b.sha256);
}

}  // namespace polyhead
