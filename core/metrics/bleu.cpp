// BLEU (Papineni et al., 2002) as corpus sums, with the 13a tokenization of NIST's mteval-v13a.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

constexpr std::size_t kOrders = 4;
constexpr std::size_t kTotals = kOrders, kHypothesisLength = 2 * kOrders, kReferenceLength = 2 * kOrders + 1;

void replace_all(std::u32string& text, std::u32string_view from, std::u32string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::u32string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

bool is_digit(char32_t c) {
  return c >= U'0' && c <= U'9';
}
bool is_point(char32_t c) {
  return c == U'.' || c == U',';
}
// ASCII punctuation except apostrophe, comma, hyphen and full stop; and the space.
bool is_symbol(char32_t c) {
  return (c >= U' ' && c <= U'&') || (c >= U'(' && c <= U'+') || c == U'/' || (c >= U':' && c <= U'@') ||
         (c >= U'[' && c <= U'`') || (c >= U'{' && c <= U'~');
}

// Rewrites every pair of adjacent characters for which `split` holds, from left to right without overlap, with spaces
// before, between and after them where requested.
template <typename Split>
std::u32string split_pairs(const std::u32string& text, Split split, bool before, bool between, bool after) {
  std::u32string result;
  result.reserve(text.size() * 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 == text.size() || !split(text[i], text[i + 1])) {
      result.push_back(text[i]);
      continue;
    }
    if (before) result.push_back(U' ');
    result.push_back(text[i]);
    if (between) result.push_back(U' ');
    result.push_back(text[++i]);
    if (after) result.push_back(U' ');
  }
  return result;
}

std::vector<std::u32string> words_13a(std::u32string text) {
  replace_all(text, U"<skipped>", U"");
  replace_all(text, U"-\n", U"");
  replace_all(text, U"\n", U" ");
  replace_all(text, U"&quot;", U"\"");
  replace_all(text, U"&amp;", U"&");
  replace_all(text, U"&lt;", U"<");
  replace_all(text, U"&gt;", U">");

  std::u32string spaced = U" ";
  for (const char32_t c : text) {
    if (is_symbol(c)) spaced.push_back(U' ');
    spaced.push_back(c);
    if (is_symbol(c)) spaced.push_back(U' ');
  }
  spaced.push_back(U' ');
  // Full stops and commas are separated unless they have digits on both sides; hyphens are separated after a digit.
  spaced = split_pairs(
      spaced, [](char32_t a, char32_t b) { return !is_digit(a) && is_point(b); }, false, true, true);
  spaced = split_pairs(
      spaced, [](char32_t a, char32_t b) { return is_point(a) && !is_digit(b); }, true, true, false);
  spaced = split_pairs(
      spaced, [](char32_t a, char32_t b) { return is_digit(a) && b == U'-'; }, false, true, true);

  std::vector<std::u32string> words;
  bool open = false;
  for (const char32_t c : spaced) {
    if (is_space(c)) {
      open = false;
    } else {
      if (!open) words.emplace_back();
      open = true;
      words.back().push_back(c);
    }
  }
  return words;
}

std::vector<std::u32string> segment(std::string_view text) {
  std::u32string points = decode_utf8(text);
  // Trailing white space is removed first, because the tokenization would remove a hyphen before a line end.
  while (!points.empty() && is_space(points.back())) points.pop_back();
  return words_13a(std::move(points));
}

}  // namespace

std::string tokenize_13a(std::string_view text) {
  std::u32string joined;
  for (const std::u32string& word : words_13a(decode_utf8(text))) {
    if (!joined.empty()) joined.push_back(U' ');
    joined += word;
  }
  return encode_utf8(joined);
}

void add_bleu(std::span<double> sums, std::string_view hypothesis, std::string_view reference) {
  if (sums.size() != kBleuSums) throw Error(Exit::internal, "add_bleu: the span does not hold kBleuSums numbers");
  std::unordered_map<std::u32string, int> vocabulary;
  const auto ids = [&](std::string_view text) {
    std::vector<int> result;
    for (const std::u32string& word : segment(text))
      result.push_back(vocabulary.try_emplace(word, static_cast<int>(vocabulary.size()) + 1).first->second);
    return result;
  };
  const std::vector<int> hypothesis_ids = ids(hypothesis), reference_ids = ids(reference);
  struct Counts {
    int hypothesis = 0, reference = 0;
  };
  for (std::size_t n = 1; n <= kOrders; ++n) {
    std::map<std::array<int, kOrders>, Counts> counts;
    const auto count = [&](const std::vector<int>& words, int Counts::*side) {
      for (std::size_t i = 0; i + n <= words.size(); ++i) {
        std::array<int, kOrders> ngram{};
        std::copy_n(words.begin() + static_cast<std::ptrdiff_t>(i), n, ngram.begin());
        ++(counts[ngram].*side);
      }
    };
    count(hypothesis_ids, &Counts::hypothesis);
    count(reference_ids, &Counts::reference);
    for (const auto& [ngram, c] : counts) {
      sums[n - 1] += std::min(c.hypothesis, c.reference);
      sums[kTotals + n - 1] += c.hypothesis;
    }
  }
  sums[kHypothesisLength] += static_cast<double>(hypothesis_ids.size());
  sums[kReferenceLength] += static_cast<double>(reference_ids.size());
}

double bleu(std::span<const double> sums) {
  if (sums.size() != kBleuSums) throw Error(Exit::internal, "bleu: the span does not hold kBleuSums numbers");
  if (std::all_of(sums.begin(), sums.begin() + kOrders, [](double matches) { return matches == 0; })) return 0;
  double log_mean = 0, smoothing = 1;
  for (std::size_t n = 0; n < kOrders; ++n) {
    const double matches = sums[n], total = sums[kTotals + n];
    if (total == 0) return 0;
    // The k-th order without a match counts as 2^-k matches.
    if (matches == 0) smoothing /= 2;
    log_mean += std::log((matches == 0 ? smoothing : matches) / total) / static_cast<double>(kOrders);
  }
  const double length = sums[kHypothesisLength], wanted = sums[kReferenceLength];
  const double brevity = length < wanted ? std::exp(1 - wanted / length) : 1;
  return 100 * brevity * std::exp(log_mean);
}

}  // namespace polyhead
