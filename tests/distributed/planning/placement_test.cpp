// Placement: no worker is idle, heavy tasks are spread, loads are near the optimum that brute force finds, and results
// are deterministic.
#include "distributed/planning/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "core/base/counter_random.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

double slowest(const Placement& placement) {
  return *std::max_element(placement.load.begin(), placement.load.end());
}

// What every placement promises.
void check(const Placement& placement, const std::vector<double>& cost, int workers) {
  ASSERT_EQ(placement.groups.size(), cost.size());
  ASSERT_EQ(placement.load.size(), static_cast<std::size_t>(workers));
  std::vector<double> load(static_cast<std::size_t>(workers));
  for (std::size_t t = 0; t < cost.size(); ++t) {
    const auto& group = placement.groups[t];
    ASSERT_FALSE(group.empty());
    for (std::size_t i = 0; i < group.size(); ++i) {
      ASSERT_TRUE(group[i] >= 0 && group[i] < workers);
      if (i > 0) {
        ASSERT_LT(group[i - 1], group[i]);
      }
      load[static_cast<std::size_t>(group[i])] += cost[t] / static_cast<double>(group.size());
    }
  }
  const auto held = placement.tasks_by_worker();
  for (int worker = 0; worker < workers; ++worker) {
    EXPECT_FALSE(held[static_cast<std::size_t>(worker)].empty()) << "worker " << worker << " is idle";
    EXPECT_NEAR(placement.load[static_cast<std::size_t>(worker)], load[static_cast<std::size_t>(worker)],
                1e-12 * (1 + load[static_cast<std::size_t>(worker)]));
  }
}

// The smallest largest load over all groups: any set of workers for a task above an equal share, one worker for the
// others.
double best_by_brute_force(const std::vector<double>& cost, int workers) {
  const double share = std::accumulate(cost.begin(), cost.end(), 0.0) / workers;
  std::vector<double> load(static_cast<std::size_t>(workers));
  double best = std::numeric_limits<double>::infinity();
  const std::function<void(std::size_t)> assign = [&](std::size_t task) {
    if (task == cost.size()) {
      if (*std::min_element(load.begin(), load.end()) > 0)
        best = std::min(best, *std::max_element(load.begin(), load.end()));
      return;
    }
    for (unsigned set = 1; set < 1u << workers; ++set) {
      const int members = std::popcount(set);
      if (members > 1 && cost[task] <= share) continue;
      const std::vector<double> before = load;
      for (int worker = 0; worker < workers; ++worker)
        if (set >> worker & 1) load[static_cast<std::size_t>(worker)] += cost[task] / members;
      assign(task + 1);
      load = before;
    }
  };
  assign(0);
  return best;
}

TEST(Placement, OneWorkerHoldsEverything) {
  const Placement placement = place({3, 1, 2}, 1);
  check(placement, {3, 1, 2}, 1);
  EXPECT_EQ(placement.tasks_by_worker(), (std::vector<std::vector<std::size_t>>{{0, 1, 2}}));
}

TEST(Placement, MoreTasksThanWorkers) {
  const std::vector<double> cost{5, 4, 3, 3, 2, 1};
  const Placement placement = place(cost, 2);
  check(placement, cost, 2);
  EXPECT_DOUBLE_EQ(slowest(placement), 9);
  for (const auto& group : placement.groups) EXPECT_EQ(group.size(), 1u);  // no head on two workers without need
}

TEST(Placement, MoreWorkersThanTasks) {
  const Placement even = place({1, 1}, 4);
  check(even, {1, 1}, 4);
  EXPECT_EQ(even.groups, (std::vector<std::vector<int>>{{0, 1}, {2, 3}}));
  const Placement uneven = place({2, 1}, 3);
  check(uneven, {2, 1}, 3);
  EXPECT_EQ(uneven.groups, (std::vector<std::vector<int>>{{0, 1}, {2}}));
}

TEST(Placement, HeavyTaskIsSpread) {
  const std::vector<double> cost{10, 1, 1};
  const Placement placement = place(cost, 3);
  check(placement, cost, 3);
  EXPECT_EQ(placement.groups[0].size(), 3u);
  EXPECT_LT(slowest(placement), 4.5);
}

TEST(Placement, EqualCostsGiveEqualLoads) {
  for (const int workers : {2, 3, 4, 6, 12}) {
    const std::vector<double> cost(12, 0.1);
    const Placement placement = place(cost, workers);
    check(placement, cost, workers);
    EXPECT_NEAR(slowest(placement), 1.2 / workers, 1e-12);
    for (const auto& group : placement.groups) EXPECT_EQ(group.size(), 1u);
  }
}

TEST(Placement, IsDeterministic) {
  const std::vector<double> cost{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
  const Placement first = place(cost, 4), second = place(cost, 4);
  EXPECT_EQ(first.groups, second.groups);
  EXPECT_EQ(first.load, second.load);
}

TEST(Placement, IsNearTheBest) {
  double worst = 1, sum = 0;
  int cases = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const int workers = 1 + static_cast<int>(bounded(draw(seed, 0), 4));
    const std::size_t tasks = 1 + bounded(draw(seed, 1), 6);
    std::vector<double> cost;
    for (std::size_t t = 0; t < tasks; ++t) cost.push_back(std::exp(3 * unit(draw(seed, 2 + t))));
    const Placement placement = place(cost, workers);
    check(placement, cost, workers);
    const double ratio = slowest(placement) / best_by_brute_force(cost, workers);
    EXPECT_GE(ratio, 1 - 1e-9);
    worst = std::max(worst, ratio);
    sum += ratio;
    ++cases;
  }
  RecordProperty("worst", std::to_string(worst));
  EXPECT_LE(worst, 1.15);
  EXPECT_LE(sum / cases, 1.02);
}

TEST(Placement, NobodyIsIdleInLargeWorlds) {
  for (const int workers : {7, 64, 500}) {
    std::vector<double> cost;
    for (std::size_t t = 0; t < 12; ++t) cost.push_back(std::exp(4 * unit(draw(3, t))));
    const Placement placement = place(cost, workers);
    check(placement, cost, workers);
    EXPECT_LE(slowest(placement), 1.5 * std::accumulate(cost.begin(), cost.end(), 0.0) / workers) << workers;
  }
}

TEST(Placement, PinsAreKept) {
  const std::vector<double> cost{5, 4, 3, 3, 2, 1};
  const Placement placement = place(cost, 3, {{2}, {}, {0, 2}, {}, {}, {}});
  check(placement, cost, 3);
  EXPECT_EQ(placement.groups[0], (std::vector<int>{2}));
  EXPECT_EQ(placement.groups[2], (std::vector<int>{0, 2}));
  // Worker 2 holds 6.5 of 18; the others share what is left.
  EXPECT_DOUBLE_EQ(placement.load[2], 6.5);
  EXPECT_LE(slowest(placement), 6.5);
}

TEST(Placement, NobodyIsIdleBesidePins) {
  // Two light free tasks for three workers that the heavy one leaves out.
  const std::vector<double> cost{100, 1, 1};
  const Placement placement = place(cost, 4, {{1}, {}, {}});
  check(placement, cost, 4);
  EXPECT_EQ(placement.groups[0], (std::vector<int>{1}));
  const Placement whole = place({1, 2}, 2, {{1}, {0}});
  check(whole, {1, 2}, 2);
  EXPECT_EQ(whole.groups, (std::vector<std::vector<int>>{{1}, {0}}));
}

TEST(Placement, WrongPins) {
  const auto words_of = [](const std::vector<std::vector<int>>& pinned) -> std::string {
    try {
      place({1, 1}, 3, pinned);
    } catch (const Error& error) {
      return error.code() == Exit::config ? error.what() : "another code";
    }
    return "";
  };
  EXPECT_NE(words_of({{3}, {}}).find("pinned to worker 3, but there are only 3 workers"), std::string::npos);
  EXPECT_NE(words_of({{0}, {2}}).find("1 of 3 workers without a task, the first of them worker 1"), std::string::npos);
  EXPECT_EQ(words_of({{0}, {1, 2}}), "");
  EXPECT_EQ(words_of({{0}, {}}), "");
}

TEST(Placement, NeighboursOfManyShareALine) {
  EXPECT_EQ(describe(place({3, 1}, 40), {"section", "en-it"}),
            "workers 0 to 29: section (1/30), 2 % of the load each\n"
            "workers 30 to 39: en-it (1/10), 2 % of the load each\n");
}

TEST(Placement, DescribesEachWorker) {
  EXPECT_EQ(describe(place({2, 1}, 3), {"section", "en-it"}),
            "worker 0: section (1/2), 33 % of the load\n"
            "worker 1: section (1/2), 33 % of the load\n"
            "worker 2: en-it, 33 % of the load\n");
  EXPECT_EQ(describe(place({3, 1}, 1), {"section", "en-it"}), "worker 0: section, en-it, 100 % of the load\n");
}

TEST(Placement, WrongInput) {
  const auto code_of = [](const std::vector<double>& cost, int workers) {
    try {
      place(cost, workers);
    } catch (const Error& error) {
      return error.code();
    }
    return Exit::done;
  };
  EXPECT_EQ(code_of({}, 2), Exit::config);
  EXPECT_EQ(code_of({1}, 0), Exit::config);
  EXPECT_EQ(code_of({1, 0}, 2), Exit::internal);
  EXPECT_EQ(code_of({1, std::nan("")}, 2), Exit::internal);
  EXPECT_EQ(code_of({1, 1}, 2), Exit::done);
}

}  // namespace
}  // namespace polyhead
