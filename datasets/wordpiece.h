// WordPiece with BERT's basic tokenizer (Devlin et al., 2018): clean, space out CJK, lower and strip accents, split at
// punctuation, then the longest match first.
#pragma once

#include <filesystem>
#include <memory>

#include "datasets/tokenizer.h"

namespace polyhead {

// Of a vocab.txt, one piece a line, which must hold [PAD], [UNK], [CLS], [SEP] and [MASK]. Texts are lowered and lose
// their accents unless the vocabulary holds a letter outside [BRACKETS] that has a small form. Size and special ids of
// `info` are the file's own. Throws Error(data).
std::unique_ptr<Tokenizer> load_wordpiece(const std::filesystem::path& file, TokenizerInfo& info);

}  // namespace polyhead
