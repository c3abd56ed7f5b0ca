// Counts characters that normalization would replace.
#include "datasets/import/target_forms.h"

#include <algorithm>

#include "datasets/tokenizer/unicode.h"

namespace polyhead {
namespace {

constexpr double kShare = 0.0002;
constexpr std::size_t kShown = 40;  // bytes of the examples shown

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::uint64_t count_characters(std::string_view text) {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

void TargetForms::add(std::string_view target) {
  characters_ += count_characters(target);
  if (is_ascii(target)) return;
  for (std::size_t at = 0; at < target.size();) {
    std::size_t end = at + 1;
    while (end < target.size() && (static_cast<unsigned char>(target[end]) & 0xc0) == 0x80) ++end;
    const std::string character(target.substr(at, end - at));
    at = end;
    if (character.size() == 1) continue;
    const auto [known, fresh] = known_.try_emplace(character, false);
    if (fresh) known->second = !stripped(character).empty() && to_nfkc(character) != character;
    changed_ += known->second;
    if (fresh && known->second && replaced_.size() < kShown) replaced_ += (replaced_.empty() ? "" : " ") + character;
  }
  const std::string composed = to_nfc(target);
  if (composed == target) return;
  const std::uint64_t before = count_characters(target), after = count_characters(composed);
  changed_ += std::max<std::uint64_t>(1, before > after ? before - after : 0);
  if (replaced_.empty()) replaced_ = "accents that follow their letter";
}

void TargetForms::add(const TargetForms& other) {
  characters_ += other.characters_;
  changed_ += other.changed_;
  if (replaced_.empty()) replaced_ = other.replaced_;
}

bool TargetForms::allow_nfkc() const {
  return static_cast<double>(changed_) <= kShare * static_cast<double>(characters_);
}

}  // namespace polyhead
