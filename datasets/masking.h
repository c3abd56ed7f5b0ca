// Selects the tokens that masked_lm predicts, and replaces them.
#pragma once

#include <vector>

#include "core/base/field.h"
#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {

struct MaskingOptions {
  double share = 0.15;  // fraction of the maskable() tokens; at least one token per sequence that has any
  double mask = 0.8;    // fraction of those that become <mask>
  double random = 0.1;  // fraction of those that become a random token that is not special; the others do not change
};

// [task.NAME]
inline std::vector<Field> fields(MaskingOptions& options) {
  return {
      {.name = "mask_share",
       .member = &options.share,
       .help = "Fraction of tokens to predict.",
       .range = ">0,<=1",
       .kinds = {Kind::masked_lm},
       .stored = "share"},
      {.name = "mask_token",
       .member = &options.mask,
       .help = "Fraction of the tokens to predict that are replaced by the mask token.",
       .range = ">=0,<=1",
       .kinds = {Kind::masked_lm},
       .stored = "mask"},
      {.name = "mask_random",
       .member = &options.random,
       .help = "Fraction of the tokens to predict that are replaced by a random token.",
       .range = ">=0,<=1",
       .kinds = {Kind::masked_lm},
       .stored = "random"},
  };
}

// Whether masked_lm may mask this token, which must not be pad, bos, eos or mask.
inline bool maskable(const TokenizerInfo& tokenizer, std::int64_t token) {
  return token != tokenizer.pad && token != tokenizer.bos && token != tokenizer.eos && token != tokenizer.mask;
}

}  // namespace polyhead
