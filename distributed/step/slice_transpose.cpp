// See slice_transpose.h. Workers on one host read each other's memory; others exchange slices, one task of each worker
// at a time.
#include "distributed/step/slice_transpose.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/at.h"
#include "core/base/error.h"
#include "distributed/step/sharding.h"
#include "distributed/step/tensor_type.h"

namespace polyhead {
namespace {

// The position of a value that the list has.
template <class T>
std::size_t place_in(const std::vector<T>& list, T value) {
  return static_cast<std::size_t>(std::ranges::find(list, value) - list.begin());
}

double bytes_of(const IndexRange& range, const torch::Tensor& tensor) {
  return static_cast<double>(range.size() * tensor.element_size());
}

}  // namespace

SliceTranspose::SliceTranspose(Communicator& world, std::vector<std::vector<int>> groups,
                               const TaskGradients& gradients, Allocate allocate)
    : world_(world),
      gradients_(gradients),
      groups_(std::move(groups)),
      held_(static_cast<std::size_t>(world.size())),
      allocate_(std::move(allocate)) {
  for (std::size_t task = 0; task < groups_.size(); ++task)
    for (const int rank : groups_[task]) at(held_, rank).push_back(task);
  slice_ = slice_of(world.rank());
  // A worker without a slice would call no collective of the device.
  if (gradients_.sum.is_cuda() && slice_of(0).size() == 0)
    throw Error(Exit::config, fmt::format("the encoder has {} parameters, too few to divide them among {} GPUs; use "
                                          "fewer workers, or a larger encoder",
                                          gradients_.sum.numel(), world.size()));
  if (!allocate_)
    allocate_ = [options = gradients_.sum.options()](std::int64_t elements) {
      return torch::empty({elements}, options);
    };
}

IndexRange SliceTranspose::slice_of(int rank) const {
  return part_of(gradients_.sum.numel(), rank, world_.size());
}

std::vector<GradientRow> SliceTranspose::exchange(const std::vector<std::size_t>& tasks) {
  const bool shared = gradients_.window != nullptr && gradients_.window->shared();
  for (const std::size_t task : tasks) {
    if (std::ranges::count(groups_[task], world_.rank()) == 0) continue;
    sent_ += bytes_of({0, gradients_.sum.numel()}, gradients_.sum) - bytes_of(slice_, gradients_.sum);
  }
  if (!shared) return receive(tasks);
  world_.barrier("task gradients");  // all of them are complete
  return map(tasks);
}

torch::Tensor SliceTranspose::mapped(int rank, std::size_t tensor, const IndexRange& range) const {
  const std::int64_t width = gradients_.sum.element_size(), elements = gradients_.sum.numel();
  return torch::from_blob(
      gradients_.window->of(rank) + (static_cast<std::int64_t>(tensor) * elements + range.begin) * width,
      {range.size()}, gradients_.sum.options());
}

std::vector<GradientRow> SliceTranspose::map(const std::vector<std::size_t>& tasks) const {
  std::vector<GradientRow> rows;
  for (const std::size_t task : tasks) {
    rows.emplace_back();
    for (const int rank : groups_[task]) {
      const std::vector<std::size_t>& held = at(held_, rank);
      rows.back().push_back(mapped(rank, gradient_tensor(held.size(), place_in(held, task)), slice_));
    }
  }
  return rows;
}

std::vector<GradientRow> SliceTranspose::receive(const std::vector<std::size_t>& tasks) {
  const auto workers = static_cast<std::size_t>(world_.size());
  const auto own = static_cast<std::size_t>(world_.rank());
  std::vector<std::vector<std::size_t>> sending(workers);  // [workers] which of `tasks` the worker holds
  std::size_t rounds = 0;
  for (std::size_t worker = 0; worker < workers; ++worker) {
    std::ranges::set_intersection(held_[worker], tasks, std::back_inserter(sending[worker]));
    rounds = std::max(rounds, sending[worker].size());
  }
  std::vector<GradientRow> rows;  // their parts in the order of ranks
  for (const std::size_t task : tasks) rows.emplace_back(groups_[task].size());
  for (std::size_t round = 0; round < rounds; ++round) {
    std::vector<Range> send(workers), receive(workers);
    for (std::size_t worker = 0; worker < workers; ++worker) {
      if (round < sending[own].size()) {
        const IndexRange part = slice_of(static_cast<int>(worker));
        const torch::Tensor whole = gradients_.tasks[place_in(held_[own], sending[own][round])];
        send[worker] = {whole.narrow(0, part.begin, part.size()).data_ptr(), static_cast<std::size_t>(part.size())};
      }
      if (round < sending[worker].size()) {
        const torch::Tensor part = allocate_(slice_.size());
        const std::size_t task = sending[worker][round];
        rows[place_in(tasks, task)][place_in(groups_[task], static_cast<int>(worker))] = part;
        receive[worker] = {part.data_ptr(), static_cast<std::size_t>(slice_.size())};
      }
    }
    world_.all_to_all(fmt::format("task gradients {}/{}", round + 1, rounds), send, receive, type_of(gradients_.sum));
  }
  world_.join();
  return rows;
}

std::vector<torch::Tensor> SliceTranspose::targets(bool share) const {
  std::vector<torch::Tensor> targets = {gradients_.sum.narrow(0, slice_.begin, slice_.size())};
  if (share && gradients_.window != nullptr && gradients_.window->shared())
    for (int rank = 0; rank < world_.size(); ++rank)
      if (rank != world_.rank()) targets.push_back(mapped(rank, 0, slice_));
  return targets;
}

void SliceTranspose::finish(bool share) {
  const bool shared = gradients_.window != nullptr && gradients_.window->shared();
  if (share) sent_ += (world_.size() - 1) * bytes_of(slice_, gradients_.sum);
  if (shared)
    world_.barrier("task gradients are summed");  // also: nobody reads this worker's gradients any more
  else if (share)
    share_parts(world_, gradients_.sum, "encoder.gradients");
}

double SliceTranspose::take_sent() {
  return std::exchange(sent_, 0);
}

}  // namespace polyhead
