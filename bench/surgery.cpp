// One gradient of each task on each worker becomes one weighted sum on all of them: by slices, as training does it,
// by a plain all-reduce, which knows nothing of tasks, and by gathering all gradients on every worker. Run it under
// mpirun: mpirun -n N surgery [elements] [rounds]. Prints the seconds of the slowest worker (medians over the rounds,
// with the smallest and the largest), the bytes that a worker sends, and both relative to the plain all-reduce.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/balancing/balancer.h"
#include "core/balancing/gram.h"
#include "distributed/communicator/communicator.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/mpi.h"
#include "distributed/step/sharding.h"
#include "distributed/step/slice_transpose.h"

namespace polyhead {
namespace {

using torch::Tensor;

class Bench {
 public:
  Bench(Communicator& world, std::int64_t elements)
      : world_(world),
        tasks_(static_cast<std::size_t>(world.size())),
        bytes_(static_cast<std::size_t>(elements) * sizeof(float)),
        window_(world.allocate("window", 2 * bytes_)),
        own_(make_plain_buffer(2 * bytes_)),
        all_(torch::zeros({world.size(), elements})) {
    auto* const memory = static_cast<float*>(window_->data());
    gradients_ = {
        torch::from_blob(memory, {elements}), {torch::from_blob(memory + elements, {elements})}, window_.get()};
    auto* const plain = static_cast<float*>(own_->data());
    sent_ = {torch::from_blob(plain, {elements}), {torch::from_blob(plain + elements, {elements})}, nullptr};
    torch::manual_seed(world.rank());
    gradients_.tasks[0].copy_(torch::randn({elements}));
    sent_.tasks[0].copy_(gradients_.tasks[0]);
    std::vector<std::string> names;
    std::vector<std::vector<int>> groups;
    for (int rank = 0; rank < world.size(); ++rank) names.push_back(std::to_string(rank)), groups.push_back({rank});
    balancer_ = make_balancer({.method = "upgrad"}, names, 1);
    shared_.emplace(world, groups, gradients_);
    transpose_.emplace(world, groups, sent_);
  }

  void all_reduce() {
    gradients_.sum.copy_(gradients_.tasks[0]);  // backward writes into it; not measured
    measure(0, [&] {
      world_.all_reduce("sum", gradients_.sum.data_ptr(), static_cast<std::size_t>(gradients_.sum.numel()), DType::f32,
                        Reduce::sum);
    });
    sent(0, 2.0 * (world_.size() - 1) / world_.size() * static_cast<double>(bytes_));
  }

  void slices(std::size_t who, SliceTranspose& transpose) {
    measure(who, [&] {
      std::vector<std::size_t> tasks;
      for (std::size_t task = 0; task < tasks_; ++task) tasks.push_back(task);
      const std::vector<GradientRow> rows = transpose.exchange(tasks);
      SquareMatrix part(tasks_);
      add_inner_products(rows, false, part);
      weighted_sum(rows, solve(part), transpose.targets(true));
      transpose.finish(true);
    });
    sent(who, transpose.take_sent() +
                  2.0 * (world_.size() - 1) / world_.size() * static_cast<double>(tasks_ * tasks_ * sizeof(double)));
  }
  void shared_slices() { slices(1, *shared_); }
  void sent_slices() { slices(2, *transpose_); }

  // Every worker gets all gradients, and computes everything by itself.
  void gather() {
    measure(3, [&] {
      world_.all_gather("all", sent_.tasks[0].data_ptr(), all_.data_ptr(), static_cast<std::size_t>(all_.size(1)),
                        DType::f32);
      std::vector<GradientRow> rows;
      for (std::size_t task = 0; task < tasks_; ++task) rows.push_back({all_[static_cast<std::int64_t>(task)]});
      SquareMatrix gram(tasks_);
      add_inner_products(rows, false, gram);
      weighted_sum(rows, weights_of(gram), {sent_.sum});
    });
    sent(3, (world_.size() - 1) * static_cast<double>(bytes_));
  }

  // All ways but the plain all-reduce give the same sum.
  void check() const {
    const Tensor difference = (gradients_.sum - sent_.sum).abs().max();
    if (!(difference.item<double>() < 1e-4)) {
      std::fputs("the sums differ\n", stderr);
      world_.abort(1);
    }
  }

  void print(std::int64_t elements) const {
    if (world_.rank() != 0) return;
    const char* names[] = {"plain all-reduce", "slices, shared memory", "slices, messages", "gather of all"};
    fmt::print("{} workers, one task each, {} parameters, {} rounds\n", world_.size(), elements, seconds_[0].size());
    for (std::size_t who = 0; who < 4; ++who) {
      std::vector<double> ratios;
      for (std::size_t round = 0; round < seconds_[who].size(); ++round)
        ratios.push_back(seconds_[who][round] / seconds_[0][round]);
      fmt::print("{:<22} {:>8.1f} ms  time {:>6.2f} ({:.2f} to {:.2f})  bytes {:>6.2f}\n", names[who],
                 1000 * median(seconds_[who]), median(ratios), *std::ranges::min_element(ratios),
                 *std::ranges::max_element(ratios), bytes_sent_[who] / bytes_sent_[0]);
    }
  }

 private:
  template <class Call>
  void measure(std::size_t who, const Call& call) {
    world_.barrier("start");
    const auto start = std::chrono::steady_clock::now();
    call();
    std::vector<double> seconds{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
    world_.all_reduce("seconds", seconds, Reduce::max);
    seconds_[who].push_back(seconds[0]);
  }
  void sent(std::size_t who, double bytes) { bytes_sent_[who] = bytes; }

  std::vector<double> weights_of(const SquareMatrix& gram) {
    return balancer_->weights({.active = std::vector<bool>(tasks_, true),
                               .static_weight = std::vector<double>(tasks_, 1),
                               .loss = std::vector<double>(tasks_, 1),
                               .gram = gram});
  }
  std::vector<double> solve(const SquareMatrix& part) {
    std::vector<double> sums(part.data(), part.data() + tasks_ * tasks_);
    world_.all_reduce("gram", sums);
    SquareMatrix gram(tasks_);
    std::ranges::copy(sums, gram.data());
    return weights_of(gram);
  }

  static double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  }

  Communicator& world_;
  std::size_t tasks_, bytes_;
  std::unique_ptr<SharedBuffer> window_, own_;
  TaskGradients gradients_, sent_;
  Tensor all_;  // [tasks, elements]
  std::unique_ptr<Balancer> balancer_;
  std::optional<SliceTranspose> shared_, transpose_;
  std::vector<double> seconds_[4];
  double bytes_sent_[4] = {};
};

}  // namespace
}  // namespace polyhead

int main(int argc, char** argv) {
  const auto world = polyhead::make_mpi_communicator(&argc, &argv);
  const std::int64_t elements = argc > 1 ? std::atoll(argv[1]) : 10'000'000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  polyhead::Bench bench(*world, elements);
  for (int round = 0; round < rounds; ++round) {
    bench.all_reduce();
    bench.shared_slices();
    bench.sent_slices();
    bench.check();
    bench.gather();
  }
  bench.print(elements);
  return 0;
}
