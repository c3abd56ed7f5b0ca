// WordPiece with BERT's basic tokenizer (Devlin et al., 2018): clean, space out CJK, lower and strip accents, split at
// punctuation, then the longest match first.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "datasets/tokenizer.h"

namespace polyhead {

// Of a vocab.txt, one piece a line, which must hold [PAD], [UNK], [CLS], [SEP] and [MASK]. Texts are lowered and lose
// their accents unless the vocabulary holds a letter outside [BRACKETS] that has a small form, or as `info.lowercase`
// says, which is kept only where it differs from what the vocabulary shows. Size and special ids of `info` become the
// file's own. Throws Error(data).
std::unique_ptr<Tokenizer> load_wordpiece(const std::filesystem::path& file, TokenizerInfo& info);

// do_lower_case of the tokenizer_config.json that Hugging Face's tools write beside a vocabulary; none where there is
// no such file, or it does not say. Throws Error(data) when it is not JSON.
std::optional<bool> stated_lowercase(const std::filesystem::path& vocabulary);

}  // namespace polyhead
