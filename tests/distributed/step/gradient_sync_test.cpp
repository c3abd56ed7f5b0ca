// Sums of gradients in buckets: the division into buckets; the same bits with and without hooks, on workers that have
// other data, use other parameters, or have no data; the same calls in the same order on all workers; no gradient is
// reduced before it is final.
#include "distributed/step/gradient_sync.h"

#include <gtest/gtest.h>

#include <algorithm>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <torch/csrc/autograd/autograd.h>
#pragma GCC diagnostic pop

#include "tests/core/expect_error.h"
#include "tests/core/small_model.h"
#include "tests/distributed/world.h"

namespace polyhead {
namespace {

using torch::Tensor;

void add(Arena& arena, std::initializer_list<std::int64_t> sizes) {
  for (const std::int64_t size : sizes) {
    const std::string name = std::to_string(arena.parameters().size());
    arena.normal(name + ".weight", {size}, 1, true);
    arena.constant(name + ".bias", {16}, 0);
  }
}

using Numbers = std::vector<std::vector<std::size_t>>;
Numbers parameters_of(const std::vector<GradientBucket>& buckets) {
  Numbers numbers;
  for (const GradientBucket& bucket : buckets) numbers.push_back(bucket.parameters);
  return numbers;
}

TEST(Buckets, AreCutBetweenParametersInTheOrderOfBackward) {
  Arena arena;
  add(arena, {3000, 400, 400, 1500, 10});  // weights 0 2 4 6 8, biases 1 3 5 7 9
  arena.finish("encoder", 1, torch::kFloat32);
  // 4 bytes an element; the tail holds a tenth of a bucket beside the first parameter.
  EXPECT_EQ(parameters_of(cut_buckets(arena, 4000)), (Numbers{{9, 8, 7}, {6}, {5, 4, 3, 2}, {1, 0}}));
  EXPECT_EQ(parameters_of(cut_buckets(arena, 40'000)), (Numbers{{9, 8, 7, 6}, {5, 4, 3, 2, 1, 0}}));
  EXPECT_EQ(parameters_of(cut_buckets(arena, 1)), (Numbers{{9}, {8}, {7}, {6}, {5}, {4}, {3}, {2}, {1}, {0}}));
}

TEST(Buckets, CoverTheArenaOnce) {
  const auto model = small_model({}, 1);
  const Arena& arena = model->encoder().arena();
  for (const std::size_t bytes : {1, 1000, 5000, 100'000}) {
    std::vector<int> covered(static_cast<std::size_t>(arena.gradients().numel()));
    const auto buckets = cut_buckets(arena, bytes);
    for (const GradientBucket& bucket : buckets) {
      EXPECT_LE(bucket.parts.size(), 2 * bucket.parameters.size());
      std::size_t size = 0;
      for (const auto& part : bucket.parts) {
        size += static_cast<std::size_t>(part.end - part.begin) * sizeof(double);
        for (std::int64_t i = part.begin; i < part.end; ++i) ++covered[static_cast<std::size_t>(i)];
      }
      EXPECT_TRUE(size <= bytes || bucket.parameters.size() == 1 || &bucket == &buckets.back()) << size;
    }
    EXPECT_EQ(std::ranges::count(covered, 1), std::ssize(covered));
  }
  // Neighbours are one part.
  EXPECT_EQ(cut_buckets(arena, std::size_t{1} << 30).size(), 1u);
  EXPECT_EQ(cut_buckets(arena, std::size_t{1} << 30)[0].parts.size(), 1u);
}

// A model whose encoder's gradients lie in memory of the group.
struct Trained {
  Trained(const SmallOptions& options, Communicator& group) {
    model = std::make_unique<Model>(options.encoder, options.attention, kVocabulary, static_cast<std::int64_t>(kTasks),
                                    InputOptions{.feature_widths = {3, 5}, .pairs = true});
    for (std::size_t task = 0; task < kTasks; ++task) model->add_head(task, make_head(small_spec(task, options)));
    const auto elements = static_cast<std::size_t>(model->encoder().arena().layout());
    memory = group.allocate("gradients", elements * sizeof(double));
    model->finish(3, torch::kFloat64, memory->data());
  }
  Arena& arena() const { return model->encoder().arena(); }
  void backward(const Batch& batch) const {
    Tensor total;
    const auto inputs = model->forward(batch, true);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Tensor loss = model->head(batch.slices[i].task).loss(inputs[i], batch.slices[i]);
      total = total.defined() ? total + loss : loss;
    }
    total.backward();
  }

  std::unique_ptr<SharedBuffer> memory;
  std::unique_ptr<Model> model;
};

// What this rank trains on in a step: micro-batches, none on some.
using Data = std::function<std::vector<Batch>(int rank)>;

struct Step {
  Tensor gradients;
  std::vector<std::string> calls;
  std::size_t early = 0;  // calls before backward had ended
};

Step step_of(const Trained& trained, Communicator& group, const Data& data, const GradientSyncOptions& options) {
  GradientSync sync(group, "gradients", trained.arena(), options);
  const auto begun = group.record().empty() ? 0 : group.record().back().number;
  const auto calls = [&] {
    std::vector<std::string> names;
    for (const CollectiveRecord& call : group.record())
      if (call.number > begun) names.push_back(call.name);
    return names;
  };
  Step step;
  for (int number = 0; number < 2; ++number) {  // the second as the first
    trained.arena().gradients().zero_();
    const std::vector<Batch> batches = data(group.rank());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      if (i + 1 == batches.size()) sync.start();
      trained.backward(batches[i]);
    }
    if (number == 0) step.early = calls().size();
    sync.finish();
  }
  step.gradients = trained.arena().gradients().clone();
  step.calls = calls();
  EXPECT_EQ(step.calls.size(), 2 * sync.buckets().size());
  return step;
}

// The sum over ranks of what backward gives, without GradientSync.
Tensor expected_sum(const Trained& trained, Communicator& group, const Data& data) {
  trained.arena().gradients().zero_();
  for (const Batch& batch : data(group.rank())) trained.backward(batch);
  Tensor sum = trained.arena().gradients().clone();
  group.all_reduce("expected", sum.data_ptr(), static_cast<std::size_t>(sum.numel()), DType::f64, Reduce::sum);
  return sum;
}

void expect_same_on_all(Communicator& group, const Step& step) {
  std::string calls;
  for (const std::string& name : step.calls) calls += name + "\n";
  const std::string bits(static_cast<const char*>(step.gradients.data_ptr()), step.gradients.nbytes());
  for (const std::string& theirs : group.all_gather_strings("calls", calls)) EXPECT_EQ(theirs, calls);
  for (const std::string& theirs : group.all_gather_strings("bits", bits)) EXPECT_TRUE(theirs == bits);
}

Batch all_of(int rank) {
  return small_batch(static_cast<std::uint64_t>(rank) + 5);
}

struct Case {
  const char* name;
  Data data;
};
const Case kCases[] = {
    {"every task", [](int rank) { return std::vector{all_of(rank)}; }},
    {"micro-batches",
     [](int rank) {
       return std::vector{all_of(rank), all_of(rank + 50), all_of(rank + 90)};
     }},
    // Vectors leave the token table unused, tokens the projections of vectors, single texts the segments.
    {"a task each", [](int rank) { return std::vector{only(all_of(rank), static_cast<std::size_t>(8 - rank))}; }},
    {"rank 0 without tokens",
     [](int rank) {
       return rank == 0 ? std::vector<Batch>{} : std::vector{all_of(rank), all_of(rank + 50)};
     }},
    {"nobody has tokens", [](int) { return std::vector<Batch>{}; }},
};

class Sync : public ::testing::TestWithParam<std::pair<Sharing, bool>> {
 protected:
  static SmallOptions options() {
    SmallOptions options;
    options.encoder.share = GetParam().first;
    options.encoder.activation_checkpointing = GetParam().second;
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(, Sync,
                         ::testing::Values(std::pair{Sharing::hard, false}, std::pair{Sharing::hard, true},
                                           std::pair{Sharing::ple, true}));

TEST_P(Sync, HooksChangeNoBitsAndNoOrder) {
  const Trained trained(options(), world());
  for (const Case& test : kCases) {
    SCOPED_TRACE(test.name);
    const Tensor right = expected_sum(trained, world(), test.data);
    for (const std::size_t bytes : {std::size_t{3000}, kBucketBytes}) {
      SCOPED_TRACE(bytes);
      const Step with = step_of(trained, world(), test.data, {.during_backward = true, .bucket_bytes = bytes});
      const Step without = step_of(trained, world(), test.data, {.during_backward = false, .bucket_bytes = bytes});
      EXPECT_TRUE(with.gradients.equal(without.gradients));
      EXPECT_EQ(with.calls, without.calls);
      EXPECT_EQ(without.early, 0u);
      EXPECT_LT(relative_difference(with.gradients, right), 1e-13);
      expect_same_on_all(world(), with);
      if (bytes == kBucketBytes) continue;
      // Each rank has its own mind about when, none about the order.
      const Step mixed =
          step_of(trained, world(), test.data, {.during_backward = world().rank() % 2 == 1, .bucket_bytes = bytes});
      EXPECT_TRUE(mixed.gradients.equal(without.gradients));
      EXPECT_EQ(mixed.calls, without.calls);
    }
  }
}

TEST_P(Sync, BucketsSetOutDuringBackward) {
  const Trained trained(options(), world());
  const Step step = step_of(trained, world(), kCases[0].data, {.during_backward = true, .bucket_bytes = 3000});
  // All parameters are in use.
  EXPECT_EQ(2 * step.early, step.calls.size());
  EXPECT_GT(step.early, 5u);
}

// What the two parts of the test above rest on: that a gradient which is not final would be noticed.
TEST(SyncErrors, ASecondPartOfAGradientIsRefused) {
  Arena arena;
  add(arena, {20, 30});
  arena.finish("encoder", 1, torch::kFloat64);
  GradientSync sync(world(), "gradients", arena, {.during_backward = true});
  const auto weight = [&](std::size_t i) { return arena.parameters()[i].tensor; };
  const auto nested = [&] {
    sync.start();
    for (int part = 0; part < 2; ++part) weight(2).square().sum().backward();
  };
  expect_error(nested, Exit::internal, {"2.weight"});
  // Left out of the last backward's, it may come in parts.
  sync.finish();
  for (int part = 0; part < 2; ++part) weight(2).square().sum().backward();
  sync.finish();
}

TEST(SyncErrors, AnErrorOfACallEndsBackwardWithItsWords) {
  if (world().size() == 1) return;
  Arena arena;
  add(arena, {200, 300});
  const auto elements = static_cast<std::size_t>(arena.layout());
  const auto memory = world().allocate("gradients", elements * sizeof(double));
  arena.finish("encoder", 1, torch::kFloat64, memory->data());
  GradientSync sync(world(), "gradients", arena,
                    {.during_backward = true, .bucket_bytes = world().rank() == 0 ? kBucketBytes : 1});
  sync.start();
  Tensor total;
  for (const Parameter& parameter : arena.parameters())
    total = total.defined() ? total + parameter.tensor.square().sum() : parameter.tensor.square().sum();
  expect_error([&] { total.backward(); }, Exit::internal, {"gradients 1/", "reduces with another range"});
}

TEST(SyncErrors, HooksEndWithIt) {
  Arena arena;
  add(arena, {20});
  arena.finish("encoder", 1, torch::kFloat64);
  const auto call = [&] { arena.parameters()[0].tensor.square().sum().backward(); };
  {
    GradientSync sync(world(), "gradients", arena, {.during_backward = true});
    sync.start();
  }
  call();
  call();
}

}  // namespace
}  // namespace polyhead
