// `polyhead inspect`: what a split holds, for a person to look at: lengths, labels, samples as text.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/tokenizer.h"

namespace polyhead {

// Of how many tokens sequences are.
struct Lengths {
  std::uint64_t min = 0, median = 0, p90 = 0, p99 = 0, max = 0;
  double mean = 0;
  std::vector<std::uint64_t> bins;  // sequences in equal parts of [min, max]; empty without sequences
};
// At most `bins` parts, fewer when there are fewer lengths. Sorts `lengths`.
Lengths summarize_lengths(std::vector<std::uint64_t>& lengths, std::size_t bins);

struct SampleText {
  std::uint64_t index = 0;
  std::string input, second, target;  // target: the label, the labels, the values, the translation, "word/TAG …"
};

struct SplitSummary {
  std::uint64_t samples = 0;
  std::uint64_t looked_at = 0;  // what the rest is from: all samples, or as many, evenly spread
  Lengths input, target;        // target: translation
  std::uint64_t pairs = 0;      // samples with a second text
  // Classification, multilabel, tagging: how often each label is there, the most frequent first; tags of scored tokens.
  std::vector<std::pair<std::string, std::uint64_t>> labels;
  struct Output {
    std::string name;
    double mean = 0, deviation = 0, min = 0, max = 0;
  };
  std::vector<Output> outputs;  // regression
  std::vector<SampleText> texts;
};

// Looks at no more than `at_most` samples, evenly spread, and decodes `texts` of them.
SplitSummary inspect_split(const SplitReader& reader, const TaskInfo& task, const Tokenizer& tokenizer,
                           std::uint64_t at_most, std::uint64_t texts);

}  // namespace polyhead
