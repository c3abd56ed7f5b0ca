// Converts texts, pairs, words and vectors to the input of the encoder.
#include "datasets/model_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>

#include "core/base/batch.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

std::vector<std::int64_t> encode_text(const Tokenizer& tokenizer, const TokenizerInfo& info, const InputRules& rules,
                                      std::string_view text) {
  if (!rules.mask_marks) return tokenizer.encode(text);
  std::vector<std::int64_t> ids;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(kMaskMark, at), text.size());
    const auto part = tokenizer.encode(text.substr(at, end - at));
    ids.insert(ids.end(), part.begin(), part.end());
    if (end < text.size()) ids.push_back(info.mask);
    at = end + (end < text.size() ? kMaskMark.size() : 1);
  }
  return ids;
}

// Records which masks of a text are in the part that was kept. Texts are truncated at their end.
void note_masks(std::int64_t masks, std::span<const std::int64_t> kept, const TokenizerInfo& info, ModelInput& out) {
  const auto there = std::ranges::count(kept, info.mask);
  for (std::int64_t i = 0; i < masks; ++i) out.masks.push_back(i < there);
}

void encode_vectors(const InputRules& rules, const Sample& sample, ModelInput& out) {
  const std::size_t rows = std::min(sample.features.size() / sample.width, rules.max_length);
  out.features.assign(sample.features.begin(),
                      sample.features.begin() + static_cast<std::ptrdiff_t>(rows * sample.width));
  out.cut = rows < sample.features.size() / sample.width;
  out.tokens.assign(rows, kNoToken);
  out.first_piece.resize(rows);
  std::iota(out.first_piece.begin(), out.first_piece.end(), std::int64_t{0});
}

}  // namespace

std::string nothing_kept(const char* key) {
  return fmt::format("has a '{}' without a character that the tokenizer keeps; give it text or take the line out", key);
}

ModelInput encode_sample(const Tokenizer& tokenizer, const TokenizerInfo& info, const InputRules& rules,
                         const Sample& sample, const std::function<void(const std::string&)>& fail) {
  ModelInput out;
  if (sample.width > 0) {
    encode_vectors(rules, sample, out);
    return out;
  }
  const InputForm form = target_of(rules.kind).input_form();
  if (form == InputForm::words) {
    EncodedWords words = encode_words(tokenizer, info, sample.words, rules.max_length);
    out.tokens = std::move(words.tokens);
    out.first_piece = std::move(words.first_piece);
    out.cut = words.cut;
    return out;
  }
  std::vector<std::int64_t> text = encode_text(tokenizer, info, rules, sample.text);
  if (text.empty()) fail(nothing_kept(form == InputForm::context ? "question" : "text"));
  const auto masks = std::ranges::count(text, info.mask);
  if (!sample.second) {
    const std::size_t whole = text.size() + 2;  // including bos and eos
    out.tokens = frame_input(std::move(text), info, rules.max_length);
    out.cut = out.tokens.size() < whole;
    if (rules.mask_marks) note_masks(masks, out.tokens, info, out);
    return out;
  }
  EncodedText context;
  if (form == InputForm::context) context = tokenizer.encode_with_characters(*sample.second);
  std::vector<std::int64_t> second =
      form == InputForm::context ? context.ids : encode_text(tokenizer, info, rules, *sample.second);
  if (second.empty()) fail(nothing_kept(form == InputForm::context ? "text" : "second"));
  const auto second_masks = std::ranges::count(second, info.mask);
  const std::size_t whole = text.size() + second.size() + 3;
  EncodedPair pair = frame_pair(std::move(text), std::move(second), info, rules.max_length);
  out.tokens = std::move(pair.tokens);
  out.second = pair.second;
  out.cut = out.tokens.size() < whole;
  if (form == InputForm::context) {
    out.characters.resize(out.tokens.size());
    const std::size_t kept = out.tokens.size() - 1 - out.second;
    std::copy_n(context.characters.begin(), kept, out.characters.begin() + static_cast<std::ptrdiff_t>(out.second));
  }
  if (rules.mask_marks) {
    const std::span<const std::int64_t> all(out.tokens);
    note_masks(masks, all.first(out.second), info, out);
    note_masks(second_masks, all.subspan(out.second), info, out);
  }
  return out;
}

}  // namespace polyhead
