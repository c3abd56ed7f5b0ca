// Computes lengths and label counts of a split, and decodes samples.
#include "datasets/inspect.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include <fmt/format.h>

#include "core/base/batch.h"
#include "core/base/text.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

constexpr std::size_t kBins = 40;

SampleText decode(const SplitReader& reader, const TaskInfo& task, const Tokenizer& tokenizer, std::uint64_t index) {
  SampleText text;
  text.index = index;
  const StoredSample sample = reader.sample(index);
  std::vector<std::int64_t> tokens;
  if (reader.feature_width() == 0) sample.input_tokens(tokens);
  const std::span<const std::int64_t> all(tokens);
  const auto second = static_cast<std::size_t>(sample.second());
  if (reader.feature_width() > 0)
    text.input = fmt::format("{} {}", sample.input_length(), describe_input(reader.feature_width()));
  else
    text.input = tokenizer.decode(second > 0 ? all.first(second) : all);
  if (second > 0 && reader.feature_width() == 0) text.second = tokenizer.decode(all.subspan(second));
  text.target = target_of(task.kind).show(sample, task, tokenizer, all);
  return text;
}

// Running mean and squared deviation (Welford).
struct Moments {
  std::uint64_t count = 0;
  double mean = 0, squares = 0, min = 0, max = 0;
  void add(double x) {
    min = count == 0 ? x : std::min(min, x), max = count == 0 ? x : std::max(max, x);
    const double before = x - mean;
    mean += before / static_cast<double>(++count);
    squares += before * (x - mean);
  }
};

}  // namespace

Lengths summarize_lengths(std::vector<std::uint64_t>& lengths, std::size_t bins) {
  Lengths out;
  if (lengths.empty()) return out;
  std::sort(lengths.begin(), lengths.end());
  // Returns the smallest length that at least this share of the sequences does not exceed.
  const auto at = [&](double share) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(lengths.size())));
    return lengths[std::max<std::size_t>(rank, 1) - 1];
  };
  out.min = lengths.front(), out.max = lengths.back();
  out.median = at(0.5), out.p90 = at(0.9), out.p99 = at(0.99);
  out.mean = static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), std::uint64_t{0})) /
             static_cast<double>(lengths.size());
  const std::uint64_t range = out.max - out.min + 1;
  out.bins.resize(static_cast<std::size_t>(std::min<std::uint64_t>(bins, range)));
  for (const std::uint64_t length : lengths)
    ++out.bins[static_cast<std::size_t>(static_cast<double>(length - out.min) / static_cast<double>(range) *
                                        static_cast<double>(out.bins.size()))];
  return out;
}

SplitSummary inspect_split(const SplitReader& reader, const TaskInfo& task, const Tokenizer& tokenizer,
                           std::uint64_t at_most, std::uint64_t texts) {
  const Target& kind = target_of(task.kind);
  SplitSummary out;
  out.samples = reader.size();
  out.looked_at = std::min(at_most, out.samples);
  // Returns the index of the i-th of n evenly spread samples.
  const auto spread = [&](std::uint64_t i, std::uint64_t n) {
    return static_cast<std::uint64_t>(static_cast<double>(i) * static_cast<double>(out.samples) /
                                      static_cast<double>(n));
  };
  std::vector<std::uint64_t> inputs, targets, counts(task.labels.size());
  std::vector<Moments> moments;
  std::vector<std::int64_t> some;
  std::vector<double> values;
  for (std::uint64_t i = 0; i < out.looked_at; ++i) {
    const std::uint64_t index = spread(i, out.looked_at);
    const StoredSample sample = reader.sample(index);
    inputs.push_back(sample.input_length());
    if (sample.target_length() > 0) targets.push_back(sample.target_length());
    out.pairs += sample.second() > 0;
    some.clear(), values.clear();
    kind.classes(sample, some);
    for (const std::int64_t label : some)
      if (label != kIgnore) ++counts[static_cast<std::size_t>(label)];
    sample.values(values);
    moments.resize(std::max(moments.size(), values.size()));
    for (std::size_t k = 0; k < values.size(); ++k) moments[k].add(values[k]);
  }
  out.input = summarize_lengths(inputs, kBins);
  out.target = summarize_lengths(targets, kBins);
  for (std::size_t c = 0; c < counts.size(); ++c) out.labels.emplace_back(task.labels[c], counts[c]);
  std::stable_sort(out.labels.begin(), out.labels.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  for (std::size_t k = 0; k < moments.size(); ++k)
    out.outputs.push_back(
        {k < task.outputs.size() ? task.outputs[k] : "value", moments[k].mean,
         moments[k].count > 0 ? std::sqrt(moments[k].squares / static_cast<double>(moments[k].count)) : 0,
         moments[k].min, moments[k].max});
  if (task.weights && out.samples > 0 && reader.sample(0).weight()) {
    out.weights = 0;
    for (std::uint64_t i = 0; i < out.samples; ++i) *out.weights += reader.sample(i).weight().value_or(1);
  }
  texts = std::min(texts, out.samples);
  for (std::uint64_t i = 0; i < texts; ++i) out.texts.push_back(decode(reader, task, tokenizer, spread(i, texts)));
  return out;
}

}  // namespace polyhead
