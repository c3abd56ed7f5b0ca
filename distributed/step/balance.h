// The weights of the tasks in each step: what the balancer needs, and what a checkpoint must hold of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/balancing/balancer.h"
#include "core/balancing/gradient_report.h"
#include "distributed/options.h"
#include "distributed/step/balance_state.h"
#include "distributed/step/step_record.h"

namespace polyhead {

// Whether a method computes its weights from the gradients of the tasks.
bool reads_gradients(const BalancerOptions& options, const std::vector<std::string>& tasks);

// All workers make the same calls.
class Balance {
 public:
  // Throws Error(config) as make_balancer().
  explicit Balance(const TrainOptions& options);

  // Whether gradients of the tasks are computed one by one and combined by weights of their own.
  bool reads_gradients() const;
  // Whether gradients are measured in this step only to report on them. Balancers of inner products report in every
  // step that measures them, at no cost.
  bool reports(std::int64_t step) const;
  TaskBuffer buffer(std::int64_t step) const { return balancer_->buffer(step); }
  bool diagonal_only() const { return balancer_->reads() == Balancer::Reads::norms; }

  // Returns the weights of the mean losses in this step, [tasks]; those of a balancer of gradients are equal, and
  // weigh the heads. losses: [tasks] of this step (balance.exact); empty: those of the steps before are used.
  std::vector<double> loss_weights(const StepRecord& step, const std::vector<double>& losses = {});
  // Whether this step must measure the gradients; otherwise the weights of an earlier step are used. Only if
  // reads_gradients().
  bool measures(const StepRecord& step) const;
  // Computes the weights of the gradients from their inner products, [tasks, tasks], and the mean losses, [tasks], of
  // this step. Returns them.
  const std::vector<double>& solve(const StepRecord& step, const std::vector<double>& losses, const SquareMatrix& gram);
  // The weights of the gradients, or of the losses if the balancer does not read gradients; [tasks].
  const std::vector<double>& weights() const { return weights_; }
  // Stores the losses of a step, which have been summed over the workers. Called after each step.
  void store(const StepRecord& step);

  // The report on the last step, if its gradients were measured.
  std::optional<GradientReport>& report() { return report_; }
  // Makes a report from inner products that were measured with sketches, and the weights of this step.
  struct Sketched {
    std::int64_t size = 0;
    double seconds = 0;
  };
  void make_report(const StepRecord& step, const SquareMatrix& gram, const Sketched& sketched);

  BalanceState state() const;
  void restore(const BalanceState& state);

 private:
  BalanceInput input(const StepRecord& step) const;

  const TrainOptions& options_;
  std::unique_ptr<Balancer> balancer_;
  std::vector<double> losses_;   // [tasks]
  std::vector<double> weights_;  // [tasks]
  std::vector<bool> solved_;     // [tasks] the tasks that weights_ was computed for
  std::optional<GradientReport> report_;
};

// Returns the tasks that are active in this step, ascending.
std::vector<std::size_t> active_tasks(const StepRecord& step);

}  // namespace polyhead
