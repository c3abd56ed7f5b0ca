// WordPiece with BERT's basic tokenizer (Devlin et al., 2018): it cleans the text, separates CJK characters,
// lower-cases and strips accents, splits at punctuation, and then matches the longest pieces first.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {

// Loads a vocab.txt with one piece per line, which must have [PAD], [UNK], [CLS], [SEP] and [MASK]. Throws Error(data).
// - Texts are lower-cased and lose their accents, unless the vocabulary has an upper-case letter outside of [BRACKETS]
//   that has a lower-case form, or as `info.lowercase` says. That field is reset if it only repeats what the vocabulary
//   implies.
// - Size and special ids in `info` are set to those of the file.
std::unique_ptr<Tokenizer> load_wordpiece(const std::filesystem::path& file, TokenizerInfo& info);

// Returns whether a vocabulary by itself implies that texts are lower-cased. Throws as load_wordpiece().
bool implied_lowercase(const std::filesystem::path& file);

// Returns do_lower_case of the tokenizer_config.json that Hugging Face's tools write next to a vocabulary; none if
// there is no such file or no such key. Throws Error(data) if the file is not JSON.
std::optional<bool> stated_lowercase(const std::filesystem::path& vocabulary);

}  // namespace polyhead
