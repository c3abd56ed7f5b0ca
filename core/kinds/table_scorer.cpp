// The table of all samples, and its exchange among the members of a group.
#include "core/kinds/table_scorer.h"

#include <cstring>

namespace polyhead {

void TableScorer::add_row(const ScoredSample& sample, std::span<const double> gold, std::span<const double> predicted) {
  cells_.push_back(static_cast<double>(sample.stored.index()));
  cells_.insert(cells_.end(), gold.begin(), gold.end());
  cells_.insert(cells_.end(), predicted.begin(), predicted.end());
}

std::optional<std::string> TableScorer::bytes() const {
  return std::string(reinterpret_cast<const char*>(cells_.data()), cells_.size() * sizeof(double));
}

void TableScorer::merge(const std::vector<std::string>& of_members) {
  const std::size_t row = 1 + 2 * width_;
  std::map<double, std::vector<double>> rows;
  for (const std::string& bytes : of_members)
    for (std::size_t at = 0; at < bytes.size(); at += row * sizeof(double)) {
      std::vector<double> one(row);
      std::memcpy(one.data(), bytes.data() + at, row * sizeof(double));
      rows[one[0]] = std::move(one);
    }
  cells_.clear();
  for (const auto& [sample, one] : rows) cells_.insert(cells_.end(), one.begin(), one.end());
}

std::vector<double> TableScorer::columns(std::size_t first) const {
  std::vector<double> out;
  for (std::size_t at = first; at < cells_.size(); at += 1 + 2 * width_)
    out.insert(out.end(), cells_.begin() + static_cast<std::ptrdiff_t>(at),
               cells_.begin() + static_cast<std::ptrdiff_t>(at + width_));
  return out;
}

std::vector<double> TableScorer::constant() const {
  std::vector<double> out;
  const std::size_t samples = cells_.size() / (1 + 2 * width_);
  for (std::size_t i = 0; i < samples * width_; ++i) out.push_back((*spec_.baseline)[i % width_]);
  return out;
}

}  // namespace polyhead
