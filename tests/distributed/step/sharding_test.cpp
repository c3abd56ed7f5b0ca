// Parts of a flat buffer: they cover it, are sent to all workers, and can be gathered.
#include "distributed/step/sharding.h"

#include <gtest/gtest.h>

#include "tests/distributed/world.h"

namespace polyhead {
namespace {

TEST(Sharding, PartsCoverTheBufferInTheOrderOfRanks) {
  for (const std::int64_t elements : {0, 16, 64, 640, 1000, 4096, 100'000})
    for (const int workers : {1, 2, 3, 7, 64}) {
      std::int64_t end = 0, longest = 0;
      for (int rank = 0; rank < workers; ++rank) {
        const IndexRange part = part_of(elements, rank, workers);
        EXPECT_EQ(part.begin, end);
        EXPECT_EQ(part.begin % 64, 0);
        EXPECT_LE(part.begin, part.end);
        longest = std::max(longest, part.end - part.begin);
        end = part.end;
      }
      EXPECT_EQ(end, elements);
      EXPECT_LE(longest, elements / workers + 64 * workers) << elements << " on " << workers;
    }
}

TEST(Sharding, PartsGoToAllAndJoinOnTheFirst) {
  const int rank = world().rank(), workers = world().size();
  for (const torch::ScalarType type : {torch::kFloat32, torch::kFloat64})
    for (const std::int64_t elements : {16, 64 * workers, 1000, 100'000}) {
      const torch::Tensor expected = torch::arange(elements, torch::TensorOptions(type)), flat = expected.clone();
      const auto [begin, end] = part_of(elements, rank, workers);
      // What belongs to others is not yet known here.
      flat.narrow(0, 0, begin).fill_(-1);
      flat.narrow(0, end, elements - end).fill_(-1);
      const torch::Tensor whole = join_parts(world(), flat.narrow(0, begin, end - begin), elements);
      EXPECT_EQ(whole.defined(), rank == 0);
      EXPECT_TRUE(rank != 0 || torch::equal(whole, expected));
      share_parts(world(), flat, "values");
      EXPECT_TRUE(torch::equal(flat, expected)) << elements;
    }
}

}  // namespace
}  // namespace polyhead
