// Buckets of gradients through the nccl backend on the stand-in: they are enqueued during backward, in the same order
// on all members whatever they train on, and never make the host wait.
#include "distributed/step/gradient_sync.h"

#include <gtest/gtest.h>

#include "distributed/communicator/nccl/nccl.h"
#include "tests/distributed/world.h"
#include "tests/nccl_stand_in/stand_in.h"

namespace polyhead {
namespace {

using stand_in::DeviceMemory;
using torch::Tensor;

constexpr int kLayers = 5;

// A chain of layers; `used` of them have a part in the result.
struct Chain {
  Chain() {
    for (int i = 0; i < kLayers; ++i) {
      const std::string name = std::to_string(i);
      weight.push_back(arena.normal(name + ".weight", {8, 8}, 1, true));
      bias.push_back(arena.constant(name + ".bias", {8}, 0));
    }
    memory = std::make_unique<DeviceMemory>(static_cast<std::size_t>(arena.layout()) * sizeof(float));
    arena.finish("encoder", 1, torch::kFloat32, memory->as<float>());
  }
  void backward(int rank, int used) const {
    Tensor x = torch::full({3, 8}, rank + 1.0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(used); ++i)
      x = at::linear(x, weight[i]->tensor, bias[i]->tensor);
    x.sum().backward();
  }

  Arena arena;
  std::vector<Parameter*> weight, bias;
  std::unique_ptr<DeviceMemory> memory;
};

TEST(NcclGradientSync, BucketsAreEnqueuedDuringBackwardInOneOrder) {
  stand_in::reset();
  const bool several = world().size() > 1;
  cudaStream_t compute = nullptr;
  cudaSetDevice(world().rank());
  cudaStreamCreateWithPriority(&compute, cudaStreamNonBlocking, 0);
  Chain chain;
  {
    const auto group = make_nccl_communicator(world(), {world().rank(), compute, /*init_timeout=*/30, /*timeout=*/30});
    GradientSync sync(*group, "gradients", chain.arena, {.during_backward = true, .bucket_bytes = 640});
    const std::size_t buckets = sync.buckets().size();
    ASSERT_EQ(buckets, 3u);
    // What the workers use in a step: all layers, fewer on some, none on some.
    for (const auto& used : {std::vector{5, 5, 5, 5}, {5, 3, 5, 0}, {0, 5, 1, 4}}) {
      const int rank = world().rank(), mine = used[static_cast<std::size_t>(rank % 4)];
      chain.arena.gradients().zero_();
      const std::size_t before = stand_in::calls().size();
      const std::uint64_t number = group->record().empty() ? 0 : group->record().back().number;
      if (mine > 0) {
        sync.start();
        chain.backward(rank, mine);
      }
      const auto launched = group->record().empty() ? 0 : group->record().back().number - number;
      EXPECT_EQ(launched, mine == kLayers ? buckets : 0);
      const Tensor own = chain.arena.gradients().clone();
      sync.finish();
      // The host has gone on: nothing has been added yet, where there is anything to add.
      EXPECT_TRUE(chain.arena.gradients().equal(own));
      Tensor right = own.clone();
      world().all_reduce("right", right.data_ptr(), static_cast<std::size_t>(right.numel()), DType::f32, Reduce::sum);
      group->join();
      ASSERT_TRUE(stand_in::run(compute));
      EXPECT_TRUE(at::allclose(chain.arena.gradients(), right, 1e-6, 0));
      // One launch a bucket, of a range each for its weights and its biases.
      EXPECT_EQ(stand_in::calls().size() - before, several ? 2 * buckets : 0);
    }
    std::string mine;
    for (const std::string& call : stand_in::calls()) mine += call + "\n";
    for (const std::string& theirs : world().all_gather_strings("calls", mine)) EXPECT_EQ(theirs, mine);
  }
  cudaStreamDestroy(compute);
  world().barrier("test.end");
}

}  // namespace
}  // namespace polyhead
