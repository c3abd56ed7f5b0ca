// Converts text to ids and back with SentencePiece or WordPiece, as the manifest of the data set says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/character_range.h"
#include "datasets/tokenizer/tokenizer_info.h"

namespace polyhead {

// The ids of a text, and for each the characters of the text that it stands for, without white space at their ends.
struct EncodedText {
  std::vector<std::int64_t> ids;
  std::vector<CharacterRange> characters;  // [ids]; empty where nothing of the text is left
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Returns ids without special tokens. Any bytes are accepted; bytes that are not UTF-8 become unk or a replacement
  // character.
  virtual std::vector<std::int64_t> encode(std::string_view text) const = 0;
  // The same ids, with their characters. The text must be UTF-8.
  virtual EncodedText encode_with_characters(std::string_view text) const = 0;
  // Returns the text of ids, without special tokens.
  virtual std::string decode(std::span<const std::int64_t> ids) const = 0;
  // Returns a piece as in the vocabulary: "▁fast", "##er", "<s>". 0 <= id < vocab_size.
  virtual std::string piece(std::int64_t id) const = 0;
};

// Returns the properties of a tokenizer's file: kind, file name, SHA-256, size and special ids. Throws Error(data) with
// the cure if the file is not a tokenizer or lacks a special token.
TokenizerInfo inspect_tokenizer(const std::string& kind, const std::filesystem::path& file);
// The same, where `lowercase` says whether WordPiece lower-cases texts. Otherwise a tokenizer_config.json beside the
// file may say it.
TokenizerInfo inspect_tokenizer(const std::string& kind, const std::filesystem::path& file,
                                std::optional<bool> lowercase);

// Loads the tokenizer of a data set or run folder, and checks its SHA-256 (if given), size and special ids. Throws
// Error(data).
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder, const TokenizerInfo& info);

// Returns "bos … eos", truncated to max_length ids in total.
std::vector<std::int64_t> encode_input(const Tokenizer& tokenizer, const TokenizerInfo& info, std::string_view text,
                                       std::size_t max_length);
// The same for the ids of a text, without special tokens.
std::vector<std::int64_t> frame_input(std::vector<std::int64_t> ids, const TokenizerInfo& info, std::size_t max_length);

// "bos text eos second eos" for a pair (with separators(info) eos between the texts), truncated to max_length ids in
// total. Ids are removed from the longer text first. second: index where the second text begins.
struct EncodedPair {
  std::vector<std::int64_t> tokens;
  std::size_t second = 0;
};
// The same for the ids of the texts, without special tokens.
EncodedPair frame_pair(std::vector<std::int64_t> text, std::vector<std::int64_t> second, const TokenizerInfo& info,
                       std::size_t max_length);
EncodedPair encode_pair(const Tokenizer& tokenizer, const TokenizerInfo& info, std::string_view text,
                        std::string_view second, std::size_t max_length);

// The ids of words, "bos … eos", with the index of the first piece of each word. Truncation removes whole words at the
// end; words of more than 8 pieces are shortened first.
struct EncodedWords {
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> first_piece;  // one per word that was kept, in order
  bool cut = false;                       // whether pieces were removed
};
EncodedWords encode_words(const Tokenizer& tokenizer, const TokenizerInfo& info, std::span<const std::string> words,
                          std::size_t max_length);

}  // namespace polyhead
