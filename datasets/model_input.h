// What a model reads of a sample's input. Import and prediction both take it from here, so that they cut alike, refuse
// alike and number words alike.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "datasets/samples.h"
#include "datasets/tokenizer.h"

namespace polyhead {

// In a text for masked_lm, stands for a token that is to be predicted.
inline constexpr std::string_view kMaskMark = "<mask>";

struct InputRules {
  Kind kind = Kind::classification;
  std::size_t max_length = 128;  // tokens or vectors; what is longer is cut
  bool mask_marks = false;       // kMaskMark is the mask token rather than text
};

struct ModelInput {
  std::vector<std::int64_t> tokens;  // kNoToken for each vector
  std::size_t second = 0;            // where the second text begins; 0: there is none
  std::vector<float> features;       // of a sample of vectors: [tokens, width]
  // Tagging: where each word begins; a sample of vectors: every row. Words and vectors behind the end were cut off.
  std::vector<std::int64_t> first_piece;
  bool cut = false;         // not everything fitted into max_length
  std::vector<bool> masks;  // of each kMaskMark, in the order of the texts: whether it is kept
};

// The message for a text of which the tokenizer keeps nothing.
std::string nothing_kept(const char* key);

// `fail` throws; it is called with what is wrong where the tokenizer keeps no token of a text.
ModelInput encode_sample(const Tokenizer& tokenizer, const TokenizerInfo& info, const InputRules& rules,
                         const Sample& sample, const std::function<void(const std::string&)>& fail);

}  // namespace polyhead
