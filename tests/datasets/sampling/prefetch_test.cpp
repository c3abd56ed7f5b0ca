// The prefetch thread: order, limit, errors at the right step, and that it can be ended at any moment.
#include "datasets/sampling/prefetch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>

#include "core/base/error.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

using namespace std::chrono_literals;

// Waits until it holds, for 20 s at most.
template <class Condition>
::testing::AssertionResult soon(const Condition& condition) {
  for (int i = 0; i < 20000; ++i) {
    if (condition()) return ::testing::AssertionSuccess();
    std::this_thread::sleep_for(1ms);
  }
  return ::testing::AssertionFailure() << "waited for 20 s";
}

TEST(Prefetch, GivesEachStepInOrderAtAnyDepth) {
  for (const std::size_t depth : {0U, 1U, 2U, 7U, 1000U}) {
    Prefetcher<std::string> items([](std::int64_t step) { return std::to_string(step); }, 5, 204, depth);
    for (std::int64_t step = 5; step <= 204; ++step) ASSERT_EQ(items.next(), std::to_string(step)) << "depth " << depth;
  }
}

TEST(Prefetch, MakesInAThreadOfItsOwnOrAtDepth0InTheCallers) {
  const auto maker = [](std::int64_t) { return std::this_thread::get_id(); };
  Prefetcher<std::thread::id> here(maker, 1, 3, 0), there(maker, 1, 3, 2);
  EXPECT_EQ(here.next(), std::this_thread::get_id());
  const std::thread::id first = there.next();
  EXPECT_NE(first, std::this_thread::get_id());
  EXPECT_EQ(there.next(), first);
}

TEST(Prefetch, IsAtMostDepthStepsAhead) {
  for (const std::int64_t depth : {1, 2, 5}) {
    std::atomic<std::int64_t> made = 0;
    const auto make = [&](std::int64_t step) { return made = step; };
    Prefetcher<std::int64_t> items(make, 1, 100, static_cast<std::size_t>(depth));
    for (std::int64_t taken = 0; taken < 4; ++taken) {
      EXPECT_TRUE(soon([&] { return made == taken + depth; }));
      std::this_thread::sleep_for(5ms);
      EXPECT_EQ(made, taken + depth);
      EXPECT_EQ(items.next(), taken + 1);
    }
  }
  std::atomic<int> made = 0;
  Prefetcher<int> lazy([&](std::int64_t) { return ++made; }, 1, 9, 0);
  EXPECT_EQ(made, 0);
  lazy.next();
  EXPECT_EQ(made, 1);
}

TEST(Prefetch, MakesNothingBeyondTheLastStep) {
  std::atomic<std::int64_t> made = 0;
  {
    const auto make = [&](std::int64_t step) { return made = step; };
    Prefetcher<std::int64_t> items(make, 1, 3, 10), none(make, 4, 3, 10);
    EXPECT_TRUE(soon([&] { return made == 3; }));
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(made, 3);
}

TEST(Prefetch, AnErrorComesAtItsStep) {
  for (const std::size_t depth : {0U, 1U, 3U}) {
    std::atomic<std::int64_t> made = 0;
    Prefetcher<std::int64_t> items(
        [&](std::int64_t step) {
          if (step == 4) throw Error(Exit::data, "block 7 of shard x is damaged");
          return made = step;
        },
        1, 100, depth);
    for (std::int64_t step = 1; step < 4; ++step) EXPECT_EQ(items.next(), step);
    expect_error(Exit::data, {"block 7 of shard x"}, [&] { items.next(); });
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(made, 3) << "nothing is made beyond it";
  }
  Prefetcher<int> other([](std::int64_t) -> int { throw std::runtime_error("no memory"); }, 1, 2, 2);
  EXPECT_THROW(other.next(), std::runtime_error);
}

TEST(Prefetch, EndsCleanlyAtAnyMoment) {
  std::atomic<int> making = 0;
  struct Counted {  // how many items are alive
    explicit Counted(std::atomic<int>& count) : count(&count) { ++count; }
    Counted(Counted&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
    Counted& operator=(Counted&&) = delete;
    ~Counted() {
      if (count != nullptr) --*count;
    }
    std::atomic<int>* count;
  };
  std::atomic<int> alive = 0;
  for (int taken = 0; taken < 6; ++taken)
    for (const auto pause : {0us, 200us, 3000us}) {
      Prefetcher<Counted> items(
          [&](std::int64_t) {
            ++making;
            std::this_thread::sleep_for(500us);
            --making;
            return Counted(alive);
          },
          1, 5, 2);
      for (int i = 0; i < std::min(taken, 5); ++i) items.next();
      std::this_thread::sleep_for(pause);
    }
  EXPECT_EQ(making, 0);
  EXPECT_EQ(alive, 0);
}

TEST(Prefetch, MeasuresTheWaiting) {
  std::atomic<std::int64_t> made = 0;
  const auto slow = [&](std::int64_t step) {
    std::this_thread::sleep_for(200ms);
    return made = step;
  };
  Prefetcher<std::int64_t> items(slow, 1, 2, 2), here(slow, 1, 1, 0);
  EXPECT_EQ(items.waited(), 0);
  items.next();
  EXPECT_GT(items.waited(), 0.1);
  EXPECT_TRUE(soon([&] { return made == 2; }));
  items.next();
  EXPECT_LT(items.waited(), 0.1) << "it was ready";
  here.next();
  EXPECT_GT(here.waited(), 0.19);
}

}  // namespace
}  // namespace polyhead
