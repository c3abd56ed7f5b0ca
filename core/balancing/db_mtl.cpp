// DB-MTL (Lin et al., Dual-Balancing for Multi-Task Learning, arXiv 2308.12029): each task has a moving average y_i of
// the gradient of its loss's logarithm, y_i <- g_i / L_i + beta_k (y_i - g_i / L_i), with beta_k = beta / k^sigma in
// step k. The update is the sum of w_i y_i, where w_i = max |y_j| / |y_i|: all terms have the length of the largest.
#include <algorithm>
#include <cmath>

#include "core/balancing/gram_balancer.h"
#include "core/balancing/methods.h"

namespace polyhead {
namespace {

class DbMtl : public GramBalancer {
 public:
  explicit DbMtl(const BalancerSpec& spec)
      : GramBalancer("db_mtl", spec.tasks.size()), beta_(spec.options.db_mtl_beta), sigma_(spec.options.db_mtl_sigma) {}

  Reads reads() const override { return Reads::norms; }

  TaskBuffer buffer(std::int64_t step) const override {
    return {TaskBuffer::Kind::log_average, 1 - beta_ / std::pow(static_cast<double>(step), sigma_)};
  }

 protected:
  std::vector<double> solve(const GramProblem& problem) override {
    const double largest = *std::ranges::max_element(problem.norm);
    std::vector<double> weights;
    for (const double norm : problem.norm) weights.push_back(largest / norm);
    return weights;
  }

 private:
  double beta_, sigma_;
};

}  // namespace

std::unique_ptr<Balancer> make_db_mtl(const BalancerSpec& spec) {
  return std::make_unique<DbMtl>(spec);
}

}  // namespace polyhead
