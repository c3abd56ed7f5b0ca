// Computes a gradient of the encoder for each task, and combines them with the weights of a balancer that reads them.
// Each worker runs backward for one task at a time, into memory of that task. Then, by balance.scope:
// - all: every worker gets a slice of all tasks' gradients (SliceTranspose), computes the inner products of the slices,
//   which an all-reduce of few numbers adds up, and the weighted sum of its slice, which all workers then share.
// - last_block, sketch: the workers compare only a part of the gradients, or sketches of them. Each adds up the
//   weighted gradients of its own tasks, and an all-reduce adds those of the workers. Steps that reuse weights
//   (balance.every) do the same without comparing.
// The loss of each task is divided by the number of active tasks, so that heads are trained as with equal weights. The
// gradients are multiplied by that number where they are compared and added.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "core/balancing/gram.h"
#include "core/balancing/task_buffer.h"
#include "distributed/step/gradients.h"
#include "distributed/step/sharding.h"
#include "distributed/step/sketched_gradients.h"
#include "distributed/step/slice_transpose.h"
#include "distributed/step/tensor_type.h"

namespace polyhead {
namespace {

// The parameters of the encoder's top block, in its arena.
std::vector<IndexRange> top_block(const Arena& arena) {
  std::vector<IndexRange> ranges;
  for (const Parameter& parameter : arena.parameters())
    if (parameter.depth == 1) ranges.push_back({parameter.offset, parameter.offset + parameter.size()});
  return ranges;
}

torch::Tensor packed(const torch::Tensor& flat, const std::vector<IndexRange>& ranges) {
  std::vector<torch::Tensor> parts;
  for (const IndexRange& range : ranges) parts.push_back(flat.narrow(0, range.begin, range.size()));
  return torch::cat(parts);
}

class Surgery : public Gradients {
 public:
  Surgery(const GradientScope& scope, const SurgeryScope& surgery)
      : scope_(scope), surgery_(surgery), arena_(scope.model.encoder().arena()), compared_(top_block(arena_)) {
    for (const auto& [task, head] : scope.model.heads()) held_.push_back(task);
    const torch::Tensor sum = arena_.gradients();
    gradients_ = {.sum = sum, .tasks = {}, .window = surgery.memory};
    for (std::size_t i = 0; i < held_.size(); ++i) {
      const auto tensor = static_cast<std::int64_t>(gradient_tensor(held_.size(), i));
      gradients_.tasks.push_back(tensor == 0 ? sum
                                 : surgery.memory == nullptr
                                     ? torch::zeros_like(sum)
                                     : torch::from_blob(static_cast<std::byte*>(surgery.memory->data()) +
                                                            tensor * sum.numel() * sum.element_size(),
                                                        sum.sizes(), sum.options()));
    }
    transpose_.emplace(scope.world, surgery.groups, gradients_);
    if (surgery.options.scope == BalanceScope::last_block) {
      block_.sum = packed(sum, compared_);
      for (std::size_t i = 0; i < held_.size(); ++i) block_.tasks.push_back(torch::zeros_like(block_.sum));
      block_transpose_.emplace(scope.world, surgery.groups, block_);
    }
    if (surgery.options.scope == BalanceScope::sketch)
      sketches_.emplace(sum.numel(), surgery.options.sketch_size, sum.device(), surgery.groups.size());
    if (surgery.balance.buffer(1).kind != TaskBuffer::Kind::none)
      for (std::size_t task = 0; task < surgery.groups.size(); ++task)
        buffers_.push_back(torch::zeros({transpose_->slice().size()}, sum.options()));
  }

  void begin(const StepRecord& step) override {
    for (const auto& [task, head] : scope_.model.heads()) head->arena().gradients().zero_();
    for (std::size_t i = 0; i < held_.size(); ++i)
      if (step.active(held_[i])) gradients_.tasks[i].zero_();
  }

  void before_backward(const Batch& batch, bool) override {
    const std::size_t task = batch.slices.front().task;
    arena_.bind_gradients(gradients_.tasks[place(task)]);
  }

  void finish(StepRecord& step) override {
    arena_.bind_gradients(gradients_.sum);
    reduce_heads(scope_, step);
    if (step.encoder_frozen) return;
    tasks_ = active_tasks(step);
    if (!surgery_.balance.measures(step)) return add_own(step);
    if (surgery_.options.scope != BalanceScope::all) {
      if (surgery_.options.scope == BalanceScope::last_block)
        compare_blocks(step);
      else
        compare_sketches(step);
      return add_own(step);
    }
    if (buffers_.empty())
      exchange(step);
    else
      exchange_into_buffers(step);
  }

  TaskBuffers task_buffers() const override { return {buffers_, transpose_->slice()}; }

 private:
  std::size_t place(std::size_t task) const {
    return static_cast<std::size_t>(std::ranges::find(held_, task) - held_.begin());
  }
  double scale() const { return static_cast<double>(tasks_.size()); }

  // The weights of this step's gradients as they are in memory, [active tasks].
  std::vector<double> weights(double scale) const {
    std::vector<double> weights;
    for (const std::size_t task : tasks_) weights.push_back(surgery_.balance.weights()[task] * scale);
    return weights;
  }

  // Adds the inner products of all workers' parts, [active tasks, active tasks], and computes the weights. The losses
  // are sent with them, as the step's record is reduced only later.
  void solve(const StepRecord& step, const SquareMatrix& part, double scale) {
    std::vector<double> sums = step.loss;
    const bool diagonal = surgery_.balance.diagonal_only();
    for (std::size_t i = 0; i < tasks_.size(); ++i)
      for (std::size_t j = diagonal ? i : 0; j <= i; ++j) sums.push_back(part(i, j));
    count_all_reduce(sums.size() * sizeof(double));
    scope_.world.all_reduce("inner products", sums);
    std::vector<double> losses;
    for (std::size_t task = 0; task < step.loss.size(); ++task)
      losses.push_back(step.active(task) ? sums[task] / step.divisor(task) : std::numeric_limits<double>::quiet_NaN());
    SquareMatrix gram(step.loss.size());
    auto sum = sums.begin() + std::ssize(step.loss);
    for (std::size_t i = 0; i < tasks_.size(); ++i)
      for (std::size_t j = diagonal ? i : 0; j <= i; ++j)
        gram(tasks_[i], tasks_[j]) = gram(tasks_[j], tasks_[i]) = *sum++ * scale * scale;
    surgery_.balance.solve(step, losses, gram);
  }

  void exchange(StepRecord& step) {
    const std::vector<GradientRow> rows = transpose_->exchange(tasks_);
    SquareMatrix part(tasks_.size());
    add_inner_products(rows, surgery_.balance.diagonal_only(), part);
    solve(step, part, scale());
    step.square = weighted_sum(rows, weights(scale()), transpose_->targets(!surgery_.sharded));
    transpose_->finish(!surgery_.sharded);
    count(step);
  }

  // The losses and the gradients are checked before they change the buffers, which a skipped step must not change.
  void exchange_into_buffers(StepRecord& step) {
    const std::vector<GradientRow> rows = transpose_->exchange(tasks_);
    std::vector<double> sums = step.loss;
    SquareMatrix squares(tasks_.size());
    add_inner_products(rows, true, squares);
    for (std::size_t i = 0; i < tasks_.size(); ++i) sums.push_back(squares(i, i));
    count_all_reduce(sums.size() * sizeof(double));
    scope_.world.all_reduce("losses and norms", sums);
    const std::vector<torch::Tensor> targets = transpose_->targets(!surgery_.sharded);
    if (std::ranges::all_of(sums, [](double value) { return std::isfinite(value); })) {
      std::vector<GradientRow> measured, summed;
      std::vector<torch::Tensor> changed;
      for (std::size_t i = 0; i < tasks_.size(); ++i) {
        torch::Tensor gradient = rows[i][0] * scale();
        for (std::size_t part = 1; part < rows[i].size(); ++part) gradient.add_(rows[i][part], scale());
        const std::size_t task = tasks_[i];
        const BufferedRow row = apply_buffer(surgery_.balance.buffer(step.number), gradient, buffers_[task],
                                             sums[task] / step.divisor(task));
        measured.push_back({row.measured});
        summed.push_back({row.summed});
        changed.push_back(row.buffer);
      }
      SquareMatrix part(tasks_.size());
      add_inner_products(measured, true, part);
      solve(step, part, 1);
      step.square = weighted_sum(summed, weights(1), targets);
      for (std::size_t i = 0; i < tasks_.size(); ++i) buffers_[tasks_[i]].copy_(changed[i]);
    } else {
      for (const torch::Tensor& target : targets) target.zero_();
      step.square = std::numeric_limits<double>::quiet_NaN();  // the step is skipped
    }
    transpose_->finish(!surgery_.sharded);
    count(step);
  }

  void compare_blocks(const StepRecord& step) {
    for (std::size_t i = 0; i < held_.size(); ++i)
      if (step.active(held_[i])) block_.tasks[i].copy_(packed(gradients_.tasks[i], compared_));
    const std::vector<GradientRow> rows = block_transpose_->exchange(tasks_);
    SquareMatrix part(tasks_.size());
    add_inner_products(rows, surgery_.balance.diagonal_only(), part);
    solve(step, part, scale());
    sent_ += block_transpose_->take_sent();
  }

  // Every worker gets the inner products of the whole sketches.
  void compare_sketches(const StepRecord& step) {
    sketches_->begin();
    for (const std::size_t task : tasks_)
      if (const std::size_t at = place(task); at < held_.size()) sketches_->add(task, gradients_.tasks[at]);
    count_all_reduce(sketches_->bytes());
    const SquareMatrix products = sketches_->inner_products(scope_.world);
    SquareMatrix part(tasks_.size());
    for (std::size_t i = 0; scope_.world.rank() == 0 && i < tasks_.size(); ++i)
      for (std::size_t j = 0; j < tasks_.size(); ++j) part(i, j) = products(tasks_[i], tasks_[j]);
    solve(step, part, scale());
  }

  // Adds up the weighted gradients of the worker's own tasks, and then those of all workers.
  void add_own(StepRecord& step) {
    std::vector<GradientRow> rows;
    std::vector<double> own;
    const std::vector<double> all = weights(scale());
    for (std::size_t i = 0; i < tasks_.size(); ++i)
      if (const std::size_t at = place(tasks_[i]); at < held_.size()) {
        rows.push_back({gradients_.tasks[at]});
        own.push_back(all[i]);
      }
    weighted_sum(rows, own, {gradients_.sum});
    count_all_reduce(static_cast<std::size_t>(gradients_.sum.nbytes()));
    if (!alone(scope_.world, gradients_.sum))
      scope_.world.all_reduce("encoder.gradients", gradients_.sum.data_ptr(),
                              static_cast<std::size_t>(gradients_.sum.numel()), type_of(gradients_.sum), Reduce::sum);
    count(step);
  }

  // Bytes that a ring all-reduce sends per worker.
  void count_all_reduce(std::size_t bytes) {
    const double workers = scope_.world.size();
    sent_ += 2 * (workers - 1) / workers * static_cast<double>(bytes);
  }
  void count(StepRecord& step) { step.sent = std::exchange(sent_, 0) + transpose_->take_sent(); }

  GradientScope scope_;
  SurgeryScope surgery_;
  Arena& arena_;
  std::vector<IndexRange> compared_;  // of the arena, for last_block
  std::vector<std::size_t> held_;     // tasks of this worker, ascending
  TaskGradients gradients_, block_;   // block_: of the top block, packed
  std::optional<SliceTranspose> transpose_, block_transpose_;
  std::optional<SketchedGradients> sketches_;
  std::vector<torch::Tensor> buffers_;  // [tasks] this worker's slices; empty: the balancer keeps none
  std::vector<std::size_t> tasks_;      // active in this step
  double sent_ = 0;                     // bytes, in this step so far
};

}  // namespace

std::unique_ptr<Gradients> make_surgery(const GradientScope& scope, const SurgeryScope& surgery) {
  return std::make_unique<Surgery>(scope, surgery);
}

}  // namespace polyhead
