// chrF2 (Popovic, 2015): the F-score of character n-grams, as corpus sums.
#include <algorithm>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

constexpr std::size_t kOrders = 6;
constexpr double kBetaSquared = 4;

std::u32string without_spaces(std::string_view text) {
  std::u32string result = decode_utf8(text);
  std::erase_if(result, is_space);
  return result;
}

}  // namespace

void add_chrf(std::span<double> sums, std::string_view hypothesis, std::string_view reference) {
  if (sums.size() != kChrfSums) throw Error(Exit::internal, "add_chrf: the span does not hold kChrfSums numbers");
  const std::u32string hypothesis_text = without_spaces(hypothesis), reference_text = without_spaces(reference);
  const auto ngrams = [](std::u32string_view text, std::size_t n) { return text.size() < n ? 0 : text.size() - n + 1; };
  std::unordered_map<std::u32string_view, int> left;  // n-grams of the reference that are not matched yet
  for (std::size_t n = 1; n <= kOrders; ++n) {
    left.clear();
    for (std::size_t i = 0; i < ngrams(reference_text, n); ++i)
      ++left[std::u32string_view(reference_text).substr(i, n)];
    std::size_t matches = 0;
    for (std::size_t i = 0; i < ngrams(hypothesis_text, n); ++i) {
      const auto found = left.find(std::u32string_view(hypothesis_text).substr(i, n));
      if (found == left.end() || found->second == 0) continue;
      --found->second;
      ++matches;
    }
    // The hypothesis' n-grams of an order do not count if the reference is too short for that order.
    if (!left.empty()) sums[3 * (n - 1)] += static_cast<double>(ngrams(hypothesis_text, n));
    sums[3 * (n - 1) + 1] += static_cast<double>(ngrams(reference_text, n));
    sums[3 * (n - 1) + 2] += static_cast<double>(matches);
  }
}

double chrf(std::span<const double> sums) {
  if (sums.size() != kChrfSums) throw Error(Exit::internal, "chrf: the span does not hold kChrfSums numbers");
  double precision = 0, recall = 0;
  int orders = 0;
  for (std::size_t n = 0; n < kOrders; ++n) {
    const double in_hypothesis = sums[3 * n], in_reference = sums[3 * n + 1], matches = sums[3 * n + 2];
    if (in_hypothesis == 0 || in_reference == 0) continue;
    precision += matches / in_hypothesis;
    recall += matches / in_reference;
    ++orders;
  }
  if (orders == 0 || precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  return 100 * (1 + kBetaSquared) * precision * recall / (kBetaSquared * precision + recall);
}

}  // namespace polyhead
