// Converts the input of a sample into the input of a model. Import and prediction share it, so that they truncate,
// reject and number words in the same way.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/kind.h"
#include "datasets/samples.h"
#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {

// In a text for masked_lm, stands for a token to predict.
inline constexpr std::string_view kMaskMark = "<mask>";

struct InputRules {
  Kind kind = Kind::classification;
  std::size_t max_length = 128;  // tokens or vectors; longer inputs are truncated
  bool mask_marks = false;       // whether kMaskMark becomes the mask token rather than text
};

struct ModelInput {
  std::vector<std::int64_t> tokens;  // kNoToken for each vector
  std::size_t second = 0;            // index where the second text begins; 0: there is none
  std::vector<float> features;       // of an input of vectors: [tokens, width]
  // Tagging: index of the first token of each word; inputs of vectors: every row. It does not contain words and vectors
  // that were truncated.
  std::vector<std::int64_t> first_piece;
  // InputForm::context: the characters of each token in the second text; empty ranges for the others.
  std::vector<CharacterRange> characters;
  bool cut = false;         // whether words, tokens or vectors at the end were truncated
  std::vector<bool> masks;  // for each kMaskMark, in the order of the texts: whether it was kept
};

// Returns the message for a text of which the tokenizer keeps nothing.
std::string nothing_kept(const char* key);

// fail: called with the problem if the tokenizer keeps no token of a text; it must throw.
ModelInput encode_sample(const Tokenizer& tokenizer, const TokenizerInfo& info, const InputRules& rules,
                         const Sample& sample, const std::function<void(const std::string&)>& fail);

}  // namespace polyhead
