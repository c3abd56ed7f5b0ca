// `polyhead inspect`: summarizes the content of a split: lengths, labels, samples as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {

// Statistics of the lengths of sequences, in tokens.
struct Lengths {
  std::uint64_t min = 0, median = 0, p90 = 0, p99 = 0, max = 0;
  double mean = 0;
  std::vector<std::uint64_t> bins;  // number of sequences in equal parts of [min, max]; empty without sequences
};
// Uses at most `bins` parts, fewer if there are fewer different lengths. Sorts `lengths`.
Lengths summarize_lengths(std::vector<std::uint64_t>& lengths, std::size_t bins);

struct SampleText {
  std::uint64_t index = 0;
  std::string input, second, target;  // target: the label, the labels, the values, the translation, "word/TAG …"
};

struct SplitSummary {
  std::uint64_t samples = 0;
  std::uint64_t looked_at = 0;  // number of samples behind the fields below: all, or fewer, evenly spread
  Lengths input, target;        // target: translation
  std::uint64_t pairs = 0;      // samples with a second text
  // Classification, multilabel, tagging: the number of occurrences of each label, most frequent first. For tagging only
  // scored tokens count.
  std::vector<std::pair<std::string, std::uint64_t>> labels;
  struct Output {
    std::string name;
    double mean = 0, deviation = 0, min = 0, max = 0;
  };
  std::vector<Output> outputs;    // regression
  std::optional<double> weights;  // sum of the weights of all samples; none: the split has no weights
  std::vector<SampleText> texts;
};

// Reads at most `at_most` samples, evenly spread, and decodes `texts` of them.
SplitSummary inspect_split(const SplitReader& reader, const TaskInfo& task, const Tokenizer& tokenizer,
                           std::uint64_t at_most, std::uint64_t texts);

}  // namespace polyhead
