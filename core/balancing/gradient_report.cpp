// See gradient_report.h. The figures are those of Yu et al., 2020 (gradient surgery), and the update share is the
// first-order decrease of a task's weighted loss relative to that of the weighted sum.
#include "core/balancing/gradient_report.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/model/torch.h"

namespace polyhead {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double cosine_of(double product, double square_a, double square_b) {
  const double norms = std::sqrt(square_a) * std::sqrt(square_b);
  return norms > 0 ? std::clamp(product / norms, -1.0, 1.0) : kNan;
}

// NaN if a cosine is, and infinity for a singular matrix.
double condition_of(const std::vector<std::vector<double>>& cosine) {
  const auto size = static_cast<std::int64_t>(cosine.size());
  torch::Tensor matrix = torch::eye(size, torch::kFloat64);
  for (std::int64_t i = 0; i < size; ++i)
    for (std::int64_t j = 0; j < i; ++j) {
      const double value = cosine[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
      if (std::isnan(value)) return kNan;
      matrix[i][j] = value;
      matrix[j][i] = value;
    }
  const torch::Tensor eigenvalues = at::linalg_eigvalsh(matrix);
  const double least = eigenvalues[0].item<double>(), most = eigenvalues[size - 1].item<double>();
  return least > 0 ? most / least : std::numeric_limits<double>::infinity();
}

}  // namespace

GradientReport gradient_report(const std::vector<std::size_t>& tasks, const SquareMatrix& gram,
                               const std::vector<double>& weights) {
  GradientReport report;
  report.tasks = tasks;
  std::vector<double> along;  // [tasks] g_t·d
  double square = 0;          // d·d
  for (const std::size_t i : tasks) {
    double product = 0;
    for (const std::size_t j : tasks) product += gram(i, j) * weights[j];
    along.push_back(product);
    square += weights[i] * product;
  }
  std::size_t pairs = 0, conflicts = 0;
  report.worst_cosine = tasks.empty() ? kNan : 1;
  for (std::size_t a = 0; a < tasks.size(); ++a) {
    const std::size_t i = tasks[a];
    report.norms.push_back(std::sqrt(gram(i, i)));
    report.update_share.push_back(square > 0 ? weights[i] * along[a] / square : kNan);
    const double with_update = cosine_of(along[a], gram(i, i), square);
    report.worst_cosine = std::isnan(with_update) ? kNan : std::min(report.worst_cosine, with_update);
    report.cosine.emplace_back();
    for (std::size_t b = 0; b < a; ++b) {
      const std::size_t j = tasks[b];
      report.cosine.back().push_back(cosine_of(gram(i, j), gram(i, i), gram(j, j)));
      ++pairs;
      if (gram(i, j) < 0) ++conflicts;
    }
  }
  report.conflict_share = pairs > 0 ? static_cast<double>(conflicts) / static_cast<double>(pairs) : 0;
  report.condition = tasks.empty() ? kNan : condition_of(report.cosine);
  return report;
}

}  // namespace polyhead
