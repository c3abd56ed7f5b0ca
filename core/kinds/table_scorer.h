// Collects the targets and predictions of all samples, for kinds whose metrics need them at once.
#pragma once

#include "core/kinds/scorer.h"

namespace polyhead {

class TableScorer : public Scorer {
 public:
  // width: number of targets of each sample.
  TableScorer(const ScorerSpec& spec, std::size_t width) : spec_(spec), width_(width) {}

  void each(const std::function<void(double&)>& /*use*/) override {}
  std::optional<std::string> bytes() const override;
  // Puts the rows of all members into the order of their samples, as a single member would have them.
  void merge(const std::vector<std::string>& of_members) override;

 protected:
  void add_row(const ScoredSample& sample, std::span<const double> gold, std::span<const double> predicted);
  // [samples, width]
  std::vector<double> gold() const { return columns(1); }
  std::vector<double> predicted() const { return columns(1 + width_); }
  // The baseline's predictions, [samples, width]; it must be given.
  std::vector<double> constant() const;

  bool has_baseline() const { return spec_.baseline != nullptr; }
  std::size_t width() const { return width_; }

 private:
  std::vector<double> columns(std::size_t first) const;

  ScorerSpec spec_;
  std::size_t width_;
  std::vector<double> cells_;  // rows of 1 + 2 width: the sample, its targets, its predictions
};

// Returns the values of a sample in [samples, width].
template <class T>
std::vector<double> row_of(const std::vector<T>& values, std::size_t index, std::size_t width) {
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(index * width);
  return {begin, begin + static_cast<std::ptrdiff_t>(width)};
}

}  // namespace polyhead
