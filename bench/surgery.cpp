// One gradient of each task on each worker becomes one weighted sum on all of them: by slices, as training does it,
// by a plain all-reduce, which knows nothing of tasks, and by gathering all gradients on every worker. Run it under
// mpirun: mpirun -n N surgery [elements] [rounds]. Prints the milliseconds of the slowest worker (medians over the
// rounds), and the time (with the smallest and the largest ratio of a round) and the bytes that a worker sends, both
// relative to the plain all-reduce by the same means.
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

enum Way : std::size_t { kSharedPlain, kSharedSlices, kSentPlain, kSentSlices, kGather, kWays };

class Bench {
 public:
  Bench(Communicator& world, std::int64_t elements)
      : world_(world),
        tasks_(static_cast<std::size_t>(world.size())),
        bytes_(static_cast<std::size_t>(elements) * sizeof(float)),
        window_(world.allocate("window", bytes_)),
        own_(make_plain_buffer(bytes_)),
        all_(torch::zeros({world.size(), elements})) {
    gradients_.sum = torch::from_blob(window_->data(), {elements});
    gradients_.window = window_.get();
    sent_.sum = torch::from_blob(own_->data(), {elements});
    gradients_.tasks = {gradients_.sum};
    sent_.tasks = {sent_.sum};
    torch::manual_seed(world.rank());
    gradient_ = torch::randn({elements});
    std::vector<std::string> names;
    std::vector<std::vector<int>> groups;
    for (int rank = 0; rank < world.size(); ++rank) names.push_back(std::to_string(rank)), groups.push_back({rank});
    balancer_ = make_balancer({.method = "upgrad"}, names, 1);
    shared_.emplace(world, groups, gradients_);
    transpose_.emplace(world, groups, sent_);
  }

  void all_reduce(Way way, const TaskGradients& gradients) {
    gradients.sum.copy_(gradient_);  // backward writes it; not measured
    measure(way, [&] {
      world_.all_reduce("sum", gradients.sum.data_ptr(), static_cast<std::size_t>(gradients.sum.numel()), DType::f32,
                        Reduce::sum);
    });
    sent(way, 2.0 * (world_.size() - 1) / world_.size() * static_cast<double>(bytes_));
  }
  void shared_all_reduce() { all_reduce(kSharedPlain, gradients_); }
  void sent_all_reduce() { all_reduce(kSentPlain, sent_); }

  void slices(Way way, const TaskGradients& gradients, SliceTranspose& transpose) {
    gradients.sum.copy_(gradient_);
    measure(way, [&] {
      std::vector<std::size_t> tasks;
      for (std::size_t task = 0; task < tasks_; ++task) tasks.push_back(task);
      const std::vector<GradientRow> rows = transpose.exchange(tasks);
      SquareMatrix part(tasks_);
      add_inner_products(rows, false, part);
      weighted_sum(rows, solve(part), transpose.targets(true));
      transpose.finish(true);
    });
    sent(way, transpose.take_sent() +
                  2.0 * (world_.size() - 1) / world_.size() * static_cast<double>(tasks_ * tasks_ * sizeof(double)));
  }
  void shared_slices() { slices(kSharedSlices, gradients_, *shared_); }
  void sent_slices() { slices(kSentSlices, sent_, *transpose_); }

  // Every worker gets all gradients, and computes everything by itself.
  void gather() {
    measure(kGather, [&] {
      world_.all_gather("all", gradient_.data_ptr(), all_.data_ptr(), static_cast<std::size_t>(all_.size(1)),
                        DType::f32);
      std::vector<GradientRow> rows;
      for (std::size_t task = 0; task < tasks_; ++task) rows.push_back({all_[static_cast<std::int64_t>(task)]});
      SquareMatrix gram(tasks_);
      add_inner_products(rows, false, gram);
      weighted_sum(rows, weights_of(gram), {sent_.sum});
    });
    sent(kGather, (world_.size() - 1) * static_cast<double>(bytes_));
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
    constexpr const char* kNames[] = {"shared memory: all-reduce", "shared memory: slices", "messages: all-reduce",
                                      "messages: slices", "messages: gather of all"};
    fmt::print("{} workers, one task each, {} parameters, {} rounds\n", world_.size(), elements, seconds_[0].size());
    for (std::size_t way = 0; way < kWays; ++way) {
      const std::size_t plain = way < kSentPlain ? kSharedPlain : kSentPlain;
      std::vector<double> ratios;
      for (std::size_t round = 0; round < seconds_[way].size(); ++round)
        ratios.push_back(seconds_[way][round] / seconds_[plain][round]);
      fmt::print("{:<26} {:>8.1f} ms  time {:>6.2f} ({:.2f} to {:.2f})  bytes {:>6.2f}\n", kNames[way],
                 1000 * median(seconds_[way]), median(ratios), *std::ranges::min_element(ratios),
                 *std::ranges::max_element(ratios), bytes_sent_[way] / bytes_sent_[plain]);
    }
  }

 private:
  template <class Call>
  void measure(Way way, const Call& call) {
    world_.barrier("start");
    const auto start = std::chrono::steady_clock::now();
    call();
    std::vector<double> seconds{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
    world_.all_reduce("seconds", seconds, Reduce::max);
    seconds_[way].push_back(seconds[0]);
  }
  void sent(Way way, double bytes) { bytes_sent_[way] = bytes; }

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
  Tensor gradient_;  // of this worker's task
  Tensor all_;       // [tasks, elements]
  std::unique_ptr<Balancer> balancer_;
  std::optional<SliceTranspose> shared_, transpose_;
  std::vector<double> seconds_[kWays];
  double bytes_sent_[kWays] = {};
};

}  // namespace
}  // namespace polyhead

int main(int argc, char** argv) {
  const auto world = polyhead::make_mpi_communicator(&argc, &argv);
  const std::int64_t elements = argc > 1 ? std::atoll(argv[1]) : 10'000'000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  polyhead::Bench bench(*world, elements);
  for (int round = 0; round < rounds; ++round) {
    bench.shared_all_reduce();
    bench.shared_slices();
    bench.sent_all_reduce();
    bench.sent_slices();
    bench.check();
    bench.gather();
  }
  bench.print(elements);
  return 0;
}
