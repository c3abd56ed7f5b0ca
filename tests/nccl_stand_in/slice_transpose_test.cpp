// Slices of the tasks' gradients through the nccl backend on the stand-in: with one task per worker, several, and a
// task on several workers.
#include "distributed/step/slice_transpose.h"

#include <gtest/gtest.h>

#include "distributed/communicator/nccl/nccl.h"
#include "tests/distributed/world.h"
#include "tests/nccl_stand_in/stand_in.h"

namespace polyhead {
namespace {

using stand_in::DeviceMemory;
using torch::Tensor;

constexpr std::int64_t kElements = 1000;  // no multiple of a slice

// The gradient of a task that a worker has computed.
Tensor gradient_of(std::size_t task, int rank) {
  return torch::arange(kElements, torch::kFloat32) * (1.0 + static_cast<double>(task)) + rank;
}

class Device {
 public:
  Tensor allocate(std::int64_t elements) {
    memory_.push_back(std::make_unique<DeviceMemory>(static_cast<std::size_t>(elements) * sizeof(float)));
    return torch::from_blob(memory_.back()->as<float>(), {elements}, torch::kFloat32);
  }

 private:
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
};

TEST(NcclSliceTranspose, RowsAreSumsOverTheGroupAndAllWorkersGetTheSum) {
  stand_in::reset();
  const int workers = world().size(), rank = world().rank();
  cudaStream_t compute = nullptr;
  cudaSetDevice(rank);
  cudaStreamCreateWithPriority(&compute, cudaStreamNonBlocking, 0);
  {
    const auto group = make_nccl_communicator(world(), {rank, compute, /*init_timeout=*/30, /*timeout=*/30});
    // Task 0 is on the first worker, task 1 on the last, task 2 on all, task 3 on the first.
    std::vector<int> everybody;
    for (int worker = 0; worker < workers; ++worker) everybody.push_back(worker);
    const std::vector<std::vector<int>> groups = {{0}, {workers - 1}, everybody, {0}};
    Device device;
    TaskGradients gradients{device.allocate(kElements), {}, nullptr};
    gradients.sum.zero_();
    for (std::size_t task = 0; task < groups.size(); ++task)
      if (std::ranges::count(groups[task], rank) > 0) {
        gradients.tasks.push_back(device.allocate(kElements));
        gradients.tasks.back().copy_(gradient_of(task, rank));
      }
    SliceTranspose transpose(*group, groups, gradients,
                             [&](std::int64_t elements) { return device.allocate(elements); });
    const std::vector<std::size_t> active = {0, 1, 2};  // task 3 has no samples
    const std::vector<GradientRow> rows = transpose.exchange(active);
    ASSERT_TRUE(stand_in::run(compute));
    const IndexRange slice = transpose.slice();
    Tensor sum = torch::zeros({kElements}, torch::kFloat64);
    SquareMatrix gram(3), right(3);
    add_inner_products(rows, false, gram);
    std::vector<Tensor> whole;
    const std::vector<double> weights = {2, -1, 0.5};
    for (std::size_t i = 0; i < active.size(); ++i) {
      Tensor gradient = torch::zeros({kElements}, torch::kFloat64);
      for (const int member : groups[i]) gradient += gradient_of(i, member);
      ASSERT_EQ(rows[i].size(), groups[i].size());
      Tensor found = torch::zeros({slice.size()}, torch::kFloat64);
      for (const Tensor& part : rows[i]) found += part;
      EXPECT_TRUE(at::allclose(found, gradient.narrow(0, slice.begin, slice.size()), 1e-6, 1e-3)) << i;
      whole.push_back(gradient);
      sum += weights[i] * gradient;
    }
    std::vector<double> products(gram.data(), gram.data() + 9);
    world().all_reduce("products", products);
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 3; ++j) {
        const double expected = whole[i].dot(whole[j]).item<double>();
        EXPECT_NEAR(products[3 * i + j], expected, 1e-6 * expected);
      }
    weighted_sum(rows, weights, transpose.targets(true));
    transpose.finish(true);
    ASSERT_TRUE(stand_in::run(compute));
    EXPECT_TRUE(at::allclose(gradients.sum.to(torch::kFloat64), sum, 1e-6, 1e-3));
    // Its tasks' slices for the others, and its slice of the sum for each of them.
    double held = 0;
    for (const std::size_t task : active) held += static_cast<double>(std::ranges::count(groups[task], rank));
    const auto others = static_cast<double>(kElements - slice.size());
    EXPECT_DOUBLE_EQ(transpose.take_sent(), 4 * (held * others + (workers - 1) * static_cast<double>(slice.size())));
  }
  cudaStreamDestroy(compute);
  world().barrier("test.end");
}

}  // namespace
}  // namespace polyhead
