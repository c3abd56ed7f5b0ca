// Counts all unknown tokens, and finds their words in the first texts that have some.
#include "datasets/import/unknown_tokens.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/reading/sample_source.h"
#include "datasets/tokenizer/unicode.h"

namespace polyhead {
namespace {

constexpr double kShare = 0.05;
constexpr std::uint64_t kTexts = 2000;  // maximum number of texts that are searched for words
constexpr std::size_t kWords = 5;       // maximum number of words in a warning
constexpr std::size_t kWordBytes = 60;  // maximum size of a word in a warning

}  // namespace

void UnknownTokens::add(const Tokenizer& tokenizer, const TokenizerInfo& info, std::span<const std::int64_t> tokens,
                        std::string_view text, std::string_view place) {
  const auto here = static_cast<std::uint64_t>(std::ranges::count(tokens, info.unk));
  tokens_ += tokens.size();
  unknown_ += here;
  if (here == 0) return;
  if (first_.empty()) first_ = place;
  if (looked_at_++ >= kTexts) return;
  while (!text.empty()) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    if (word.empty() || word.size() > kWordBytes) continue;
    const std::vector<std::int64_t> pieces = tokenizer.encode(word);
    if (std::ranges::find(pieces, info.unk) != pieces.end()) ++words_[std::string(word)];
  }
}

std::string UnknownTokens::warning(std::string_view whose) const {
  if (tokens_ == 0 || static_cast<double>(unknown_) <= kShare * static_cast<double>(tokens_)) return "";
  std::vector<std::pair<std::uint64_t, std::string>> most;
  for (const auto& [word, count] : words_) most.emplace_back(count, word);
  std::ranges::stable_sort(most, [](const auto& a, const auto& b) { return a.first > b.first; });
  if (most.size() > kWords) most.resize(kWords);
  std::vector<std::string> names;
  for (const auto& [count, word] : most) names.push_back(fmt::format("'{}'", escape_controls(word)));
  return fmt::format(
      "{:.1f} % of the tokens of {} are unknown to the vocabulary{}{}{}; the model cannot distinguish them. Use a "
      "vocabulary that fits the texts, or convert the texts",
      100.0 * static_cast<double>(unknown_) / static_cast<double>(tokens_), whose,
      first_.empty() ? "" : fmt::format(" (first: {})", first_), names.empty() ? "" : ", such as ",
      fmt::join(names, ", "));
}

}  // namespace polyhead
