// Uses the SentencePiece library to train a vocabulary, to encode and to decode.
#include "datasets/tokenizer/sentencepiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace polyhead {
namespace {

constexpr std::size_t kMaxBytes = 4096;  // maximum size of a training text

constexpr const char* kCure =
    "train a model with pad, unk, bos and eos and a piece '<mask>', or leave 'vocab' out so that import trains one";

// A model with the ids of its file. Special tokens other than unk are not found in texts, and are not decoded.
class PlainPieces : public Tokenizer {
 public:
  explicit PlainPieces(const std::filesystem::path& file) {
    if (const auto status = processor_.Load(file.string()); !status.ok())
      throw Error(Exit::data,
                  fmt::format("{} is not a SentencePiece model ({}); {}", file.string(), status.ToString(), kCure));
  }

  const sentencepiece::SentencePieceProcessor& processor() const { return processor_; }
  void set_special(const std::array<std::int64_t, 4>& ids) { special_ = ids; }  // pad, bos, eos, mask

  std::vector<std::int64_t> encode(std::string_view text) const override {
    std::vector<int> ids;
    if (const auto status = processor_.Encode(text, &ids); !status.ok())
      throw Error(Exit::internal, fmt::format("SentencePiece cannot encode a text: {}", status.ToString()));
    // If <mask> is a user-defined piece of the model, it is also found in plain text.
    std::erase_if(ids, [&](int id) { return id == special_[3]; });
    return {ids.begin(), ids.end()};
  }

  EncodedText encode_with_characters(std::string_view text) const override {
    sentencepiece::ImmutableSentencePieceText pieces;
    if (const auto status = processor_.Encode(text, pieces.mutable_proto()); !status.ok())
      throw Error(Exit::internal, fmt::format("SentencePiece cannot encode a text: {}", status.ToString()));
    const std::u32string characters = decode_utf8(text);
    std::vector<std::uint32_t> at(text.size() + 1);  // of each byte, its character
    std::uint32_t count = 0;
    for (std::size_t byte = 0; byte < text.size(); ++byte)
      at[byte] = (static_cast<unsigned char>(text[byte]) & 0xc0) == 0x80 ? count - 1 : count++;
    at[text.size()] = count;
    EncodedText out;
    for (const auto& piece : pieces.pieces()) {
      if (piece.id() == special_[3]) continue;
      CharacterRange range = {at[piece.begin()], at[piece.end()]};
      while (!range.empty() && is_space(characters[range.begin])) ++range.begin;
      while (!range.empty() && is_space(characters[range.end - 1])) --range.end;
      out.ids.push_back(piece.id());
      out.characters.push_back(range);
    }
    return out;
  }

  std::string piece(std::int64_t id) const override { return processor_.IdToPiece(static_cast<int>(id)); }

  std::string decode(std::span<const std::int64_t> ids) const override {
    std::vector<int> plain;
    for (const std::int64_t id : ids)
      if (id >= 0 && id < processor_.GetPieceSize() &&
          std::find(special_.begin(), special_.end(), id) == special_.end())
        plain.push_back(static_cast<int>(id));
    std::string text;
    if (const auto status = processor_.Decode(plain, &text); !status.ok())
      throw Error(Exit::internal, fmt::format("SentencePiece cannot decode ids: {}", status.ToString()));
    return text;
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
  std::array<std::int64_t, 4> special_ = {-1, -1, -1, -1};
};

class XlmRoberta : public Tokenizer {
 public:
  XlmRoberta(const std::filesystem::path& file, TokenizerInfo& info) : plain_(file) {
    const sentencepiece::SentencePieceProcessor& model = plain_.processor();
    if (model.unk_id() != 0 || model.bos_id() != 1 || model.eos_id() != 2)
      throw Error(Exit::data, fmt::format("{} is not the SentencePiece model of an XLM-RoBERTa: its first pieces are "
                                          "not unk, bos and eos",
                                          file.string()));
    info.kind = "xlm_roberta";
    info.vocab_size = model.GetPieceSize() + 2;
    info.bos = 0, info.pad = 1, info.eos = 2, info.unk = kUnknown, info.mask = info.vocab_size - 1;
    mask_ = info.mask;
  }

  std::vector<std::int64_t> encode(std::string_view text) const override {
    std::vector<std::int64_t> ids = plain_.encode(text);
    shift(ids);
    return ids;
  }

  EncodedText encode_with_characters(std::string_view text) const override {
    EncodedText out = plain_.encode_with_characters(text);
    shift(out.ids);
    return out;
  }

  std::string piece(std::int64_t id) const override {
    constexpr std::array<const char*, 4> kFirst = {"<s>", "<pad>", "</s>", "<unk>"};
    if (id == mask_) return "<mask>";
    return id <= kUnknown ? kFirst[static_cast<std::size_t>(id)] : plain_.piece(id - 1);
  }

  std::string decode(std::span<const std::int64_t> ids) const override {
    std::vector<std::int64_t> plain;
    for (const std::int64_t id : ids)
      if (id >= kUnknown && id < mask_) plain.push_back(id == kUnknown ? 0 : id - 1);
    return plain_.decode(plain);
  }

 private:
  static constexpr std::int64_t kUnknown = 3;

  static void shift(std::vector<std::int64_t>& ids) {
    for (std::int64_t& id : ids) id = id == 0 ? kUnknown : id + 1;
  }

  PlainPieces plain_;
  std::int64_t mask_ = 0;
};

class Texts : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) { cut(); }
  bool done() const override { return at_ >= texts_.size(); }
  void Next() override { ++at_, cut(); }
  const std::string& value() const override { return value_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  void cut() {
    if (done()) return;
    value_ = texts_[at_];
    value_.resize(utf8_prefix(value_, kMaxBytes).size());
  }
  const std::vector<std::string>& texts_;
  std::size_t at_ = 0;
  std::string value_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file, TokenizerInfo& info) {
  auto pieces = std::make_unique<PlainPieces>(file);
  const sentencepiece::SentencePieceProcessor& model = pieces->processor();
  info.kind = "sentencepiece";
  info.vocab_size = model.GetPieceSize();
  info.pad = model.pad_id();
  info.unk = model.unk_id();
  info.bos = model.bos_id();
  info.eos = model.eos_id();
  info.mask = model.PieceToId("<mask>");
  if (info.mask == info.unk) info.mask = model.PieceToId("[MASK]");
  if (std::min({info.pad, info.unk, info.bos, info.eos}) < 0 || info.mask == info.unk)
    throw Error(Exit::data, fmt::format("{} lacks a special token; {}", file.string(), kCure));
  pieces->set_special({info.pad, info.bos, info.eos, info.mask});
  return pieces;
}

std::unique_ptr<Tokenizer> load_xlm_roberta(const std::filesystem::path& file, TokenizerInfo& info) {
  return std::make_unique<XlmRoberta>(file, info);
}

std::string train_sentencepiece(const std::vector<std::string>& texts, std::int64_t vocab_size, bool normalize) {
  std::unordered_map<std::string, std::string> options = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(vocab_size)},
      {"character_coverage", "0.9998"},
      {"byte_fallback", "false"},
      {"pad_id", "0"},
      {"unk_id", "1"},
      {"bos_id", "2"},
      {"eos_id", "3"},
      {"control_symbols", "<mask>"},  // not user-defined, so that "<mask>" in a text does not become a mask
      {"input_sentence_size", "200000"},
      {"shuffle_input_sentence", "false"},
      {"max_sentence_length", std::to_string(kMaxBytes)},
      {"num_threads", "16"},  // fixed, because sums of floats, and so the model, depend on it
      {"minloglevel", "2"},
  };
  if (!normalize) options["normalization_rule_name"] = "identity";
  Texts sentences(texts);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &sentences, &model);
  if (status.ok()) return model;
  const std::string reason = status.ToString();
  const auto number_after = [&](std::string_view words) -> std::string {
    const std::size_t at = reason.find(words);
    if (at == std::string::npos) return "";
    const std::size_t first = at + words.size();
    return reason.substr(first, reason.find_first_not_of("0123456789", first) - first);
  };
  std::string cure = "give more or longer texts, or another vocab_size";
  // vocab_size is an upper bound.
  if (const std::string most = number_after("set it to a value <= "); !most.empty() && most.size() < 10) {
    if (const std::int64_t fewer = std::stol(most); fewer > 0 && fewer < vocab_size)
      return train_sentencepiece(texts, fewer, normalize);
    cure = fmt::format("set vocab_size to at most {} or give more text", most);
  } else if (const std::size_t at = reason.find(" vs "); at != std::string::npos)
    cure = fmt::format("set vocab_size above {}, the number of different characters", number_after(" vs "));
  throw Error(Exit::data, fmt::format("SentencePiece cannot make {} pieces of the {} training texts: {} ({})",
                                      vocab_size, texts.size(), cure, reason));
}

}  // namespace polyhead
