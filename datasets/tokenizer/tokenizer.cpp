// Loads a tokenizer of either kind, and builds the token sequences that the model reads.
#include "datasets/tokenizer/tokenizer.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "datasets/tokenizer/sentencepiece.h"
#include "datasets/tokenizer/wordpiece.h"

namespace polyhead {
namespace {

std::unique_ptr<Tokenizer> load(const std::string& kind, const std::filesystem::path& file, TokenizerInfo& found) {
  if (kind == "sentencepiece") return load_sentencepiece(file, found);
  if (kind == "xlm_roberta") return load_xlm_roberta(file, found);
  if (kind == "wordpiece") return load_wordpiece(file, found);
  throw Error(Exit::config, fmt::format("the tokenizer kind '{}' is unknown; known are {}", kind, kTokenizerKinds));
}

constexpr std::size_t kLongWord = 8;  // pieces; words up to this length are never shortened

// Returns the number of pieces that a long word may keep: all if the words fit into `room` tokens, otherwise as many as
// make them fit. If shortening long words is not enough, it is a quarter of the room, so that one of them leaves room
// for others.
std::size_t longest_word(const std::vector<std::vector<std::int64_t>>& words, std::size_t room) {
  std::size_t total = 0, longest = 0;
  const auto kept = [&](std::size_t most) {
    std::size_t sum = 0;
    for (const auto& word : words) sum += word.size() > kLongWord ? std::min(word.size(), most) : word.size();
    return sum;
  };
  for (const auto& word : words) total += word.size(), longest = std::max(longest, word.size());
  if (total <= room || longest <= kLongWord) return longest;
  if (kept(1) > room) return std::min(room, std::max(kLongWord, room / 4));
  std::size_t low = 1, high = longest;  // kept(low) <= room < kept(high)
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    (kept(middle) <= room ? low : high) = middle;
  }
  return low;
}

}  // namespace

TokenizerInfo inspect_tokenizer(const std::string& kind, const std::filesystem::path& file) {
  return inspect_tokenizer(kind, file, kind == "wordpiece" ? stated_lowercase(file) : std::nullopt);
}

TokenizerInfo inspect_tokenizer(const std::string& kind, const std::filesystem::path& file,
                                std::optional<bool> lowercase) {
  TokenizerInfo info;
  info.lowercase = lowercase;
  load(kind, file, info);
  info.kind = kind;
  info.file = file.filename().string();
  info.sha256 = sha256_file(file);
  return info;
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder, const TokenizerInfo& info) {
  const std::filesystem::path file = folder / info.file;
  const auto fail = [&](const std::string& what) {
    throw Error(
        Exit::data,
        fmt::format("the tokenizer {} {}; take the file that belongs to this data set, or import the data set again",
                    file.string(), what));
  };
  if (!std::filesystem::exists(file)) fail("is missing");
  if (!info.sha256.empty() && sha256_file(file) != info.sha256) fail("has another SHA-256 than the manifest says");
  TokenizerInfo found;
  found.lowercase = info.lowercase;
  std::unique_ptr<Tokenizer> tokenizer = load(info.kind, file, found);
  const auto same = [&](const char* what, std::int64_t here, std::int64_t there) {
    if (here != there) fail(fmt::format("has {} = {}, the manifest says {}", what, here, there));
  };
  same("vocab_size", found.vocab_size, info.vocab_size);
  same("pad", found.pad, info.pad);
  same("unk", found.unk, info.unk);
  same("bos", found.bos, info.bos);
  same("eos", found.eos, info.eos);
  same("mask", found.mask, info.mask);
  return tokenizer;
}

std::vector<std::int64_t> encode_input(const Tokenizer& tokenizer, const TokenizerInfo& info, std::string_view text,
                                       std::size_t max_length) {
  return frame_input(tokenizer.encode(text), info, max_length);
}

std::vector<std::int64_t> frame_input(std::vector<std::int64_t> ids, const TokenizerInfo& info,
                                      std::size_t max_length) {
  if (ids.size() + 2 > max_length) ids.resize(max_length - std::min<std::size_t>(max_length, 2));
  ids.insert(ids.begin(), info.bos);
  ids.push_back(info.eos);
  return ids;
}

EncodedPair encode_pair(const Tokenizer& tokenizer, const TokenizerInfo& info, std::string_view text,
                        std::string_view second, std::size_t max_length) {
  return frame_pair(tokenizer.encode(text), tokenizer.encode(second), info, max_length);
}

EncodedPair frame_pair(std::vector<std::int64_t> a, std::vector<std::int64_t> b, const TokenizerInfo& info,
                       std::size_t max_length) {
  const std::size_t between = separators(info);
  const std::size_t room = max_length - std::min<std::size_t>(max_length, 2 + between);
  const std::size_t half = room / 2;
  if (a.size() + b.size() > room) {
    // The shorter text keeps its ids up to half of the room; the longer one gets the rest.
    const std::size_t keep_a = b.size() <= half ? room - b.size() : std::min(a.size(), room - half);
    a.resize(std::min(a.size(), keep_a));
    b.resize(std::min(b.size(), room - a.size()));
  }
  EncodedPair out;
  out.tokens.push_back(info.bos);
  out.tokens.insert(out.tokens.end(), a.begin(), a.end());
  out.tokens.insert(out.tokens.end(), between, info.eos);
  out.second = out.tokens.size();
  out.tokens.insert(out.tokens.end(), b.begin(), b.end());
  out.tokens.push_back(info.eos);
  return out;
}

EncodedWords encode_words(const Tokenizer& tokenizer, const TokenizerInfo& info, std::span<const std::string> words,
                          std::size_t max_length) {
  std::vector<std::vector<std::int64_t>> all;
  for (const std::string& word : words) {
    std::vector<std::int64_t>& pieces = all.emplace_back(tokenizer.encode(word));
    if (pieces.empty())
      pieces.push_back(info.unk);  // a word whose characters the tokenizer drops still needs a token for its tag
  }
  const std::size_t most = longest_word(all, max_length - std::min<std::size_t>(max_length, 2));
  EncodedWords out;
  out.tokens.push_back(info.bos);
  for (std::vector<std::int64_t>& pieces : all) {
    if (pieces.size() > std::max(kLongWord, most)) {
      pieces.resize(most);
      out.cut = true;
    }
    if (out.tokens.size() + pieces.size() + 1 > max_length) {
      out.cut = true;
      break;
    }
    out.first_piece.push_back(static_cast<std::int64_t>(out.tokens.size()));
    out.tokens.insert(out.tokens.end(), pieces.begin(), pieces.end());
  }
  out.tokens.push_back(info.eos);
  return out;
}

}  // namespace polyhead
