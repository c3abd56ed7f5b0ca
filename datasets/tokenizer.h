// Text to ids and back: SentencePiece or WordPiece, as the data set's manifest says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/manifest.h"

namespace polyhead {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Ids without special tokens. Any bytes are accepted; what is not UTF-8 becomes unk or a replacement character.
  virtual std::vector<std::int64_t> encode(std::string_view text) const = 0;
  // Text from ids; special tokens are left out.
  virtual std::string decode(std::span<const std::int64_t> ids) const = 0;
  // As the vocabulary writes it: "▁fast", "##er", "<s>". 0 <= id < vocab_size.
  virtual std::string piece(std::int64_t id) const = 0;
};

// What a tokenizer's file says itself: kind, the file's name, its SHA-256, size and special ids. Throws Error(data)
// with the cure when the file is no tokenizer or lacks a special token.
TokenizerInfo inspect_tokenizer(const std::string& kind, const std::filesystem::path& file);

// Loads the tokenizer of a data set or run folder and checks its SHA-256 (where stated), size and special ids; throws
// Error(data).
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder, const TokenizerInfo& info);

// "bos … eos", cut to max_length ids in all.
std::vector<std::int64_t> encode_input(const Tokenizer& tokenizer, const TokenizerInfo& info, std::string_view text,
                                       std::size_t max_length);
// The same of a text's ids, without special tokens.
std::vector<std::int64_t> frame_input(std::vector<std::int64_t> ids, const TokenizerInfo& info, std::size_t max_length);

// "bos text eos second eos" of a pair, cut to max_length ids in all: the longer text first, token by token. `second`:
// where the second text begins.
struct EncodedPair {
  std::vector<std::int64_t> tokens;
  std::size_t second = 0;
};
// Of the texts' ids, without special tokens.
EncodedPair frame_pair(std::vector<std::int64_t> text, std::vector<std::int64_t> second, const TokenizerInfo& info,
                       std::size_t max_length);
EncodedPair encode_pair(const Tokenizer& tokenizer, const TokenizerInfo& info, std::string_view text,
                        std::string_view second, std::size_t max_length);

// Words to ids: "bos … eos" with, per word that fits whole, the index of its first piece; cut at a word's end.
struct EncodedWords {
  std::vector<std::int64_t> tokens;
  std::vector<std::int64_t> first_piece;  // one per kept word, in order
};
EncodedWords encode_words(const Tokenizer& tokenizer, const TokenizerInfo& info, std::span<const std::string> words,
                          std::size_t max_length);

}  // namespace polyhead
