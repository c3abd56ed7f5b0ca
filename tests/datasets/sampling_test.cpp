// Sampling: quotas, permutations and stream positions.
#include "datasets/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <thread>

#include "core/base/error.h"

namespace polyhead {
namespace {

void expect_error(const std::function<void()>& call, Exit code, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "no error; expected one with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

std::vector<std::int64_t> shares(const MixtureOptions& options, const std::vector<std::uint64_t>& samples) {
  std::vector<std::string> tasks;
  for (std::size_t t = 0; t < samples.size(); ++t) tasks.push_back("task" + std::to_string(t));
  std::vector<std::int64_t> result;
  for (const TaskQuota& quota : quotas(options, tasks, samples)) result.push_back(quota.samples);
  return result;
}

using Quotas = std::vector<std::int64_t>;

MixtureOptions mixture(const std::string& kind, std::int64_t batch) {
  MixtureOptions options;
  options.kind = kind;
  options.batch = batch;
  return options;
}

TEST(Quotas, Kinds) {
  EXPECT_EQ(shares(mixture("proportional", 10), {700, 200, 100}), (Quotas{7, 2, 1}));
  EXPECT_EQ(shares(mixture("uniform", 12), {700, 200, 100}), (Quotas{4, 4, 4}));
  EXPECT_EQ(shares(mixture("temperature", 7), {1600, 400, 100}), (Quotas{4, 2, 1}));
  MixtureOptions rates = mixture("explicit", 8);
  rates.rates = {{"task0", 1.5}, {"task1", 4.5}, {"task2", 6}, {"another", 9}};
  EXPECT_EQ(shares(rates, {1, 1, 1}), (Quotas{1, 3, 4}));
  MixtureOptions cold = mixture("temperature", 10);
  cold.temperature = 1;
  EXPECT_EQ(shares(cold, {700, 200, 100}), (Quotas{7, 2, 1}));
  cold.temperature = 1e6;
  EXPECT_EQ(shares(cold, {90000, 10}), (Quotas{5, 5}));
}

TEST(Quotas, LargestRemainder) {
  // Shares of 7 in proportion 50:40:30 are 2.92, 2.33, 1.75.
  EXPECT_EQ(shares(mixture("proportional", 7), {50, 40, 30}), (Quotas{3, 2, 2}));
  // Ties go to the earlier task.
  EXPECT_EQ(shares(mixture("uniform", 5), {1, 1, 1}), (Quotas{2, 2, 1}));
  EXPECT_EQ(shares(mixture("uniform", 64), std::vector<std::uint64_t>(12, 1)),
            (Quotas{6, 6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5}));
}

TEST(Quotas, AtLeastOneATask) {
  EXPECT_EQ(shares(mixture("proportional", 10), {1000000, 1, 1}), (Quotas{8, 1, 1}));
  EXPECT_EQ(shares(mixture("proportional", 3), {1000000, 1, 1}), (Quotas{1, 1, 1}));
  EXPECT_EQ(shares(mixture("uniform", 1), {5}), (Quotas{1}));
  // Giving tiny tasks their one sample pushes the next one below one, too: 10 x 0.1 = 1.0 of 10, but 0.1 / 0.99 x 8
  // < 1.
  EXPECT_EQ(shares(mixture("proportional", 10), {8900, 1000, 50, 50}), (Quotas{7, 1, 1, 1}));
}

TEST(Quotas, SumIsTheBatchAndSharesAreWithinOne) {
  for (std::int64_t batch = 6; batch < 300; batch += 7) {
    const std::vector<std::uint64_t> samples = {58000, 23000, 8900, 117659, 10605, 3708};
    for (const char* kind : {"proportional", "uniform", "temperature"}) {
      std::vector<std::string> tasks = {"a", "b", "c", "d", "e", "f"};
      const std::vector<TaskQuota> result = quotas(mixture(kind, batch), tasks, samples);
      double requested = 0;
      std::int64_t sum = 0;
      for (const TaskQuota& quota : result) {
        requested += quota.requested;
        sum += quota.samples;
        EXPECT_GE(quota.samples, 1);
        if (batch > 70) {
          EXPECT_NEAR(static_cast<double>(quota.samples), quota.requested * static_cast<double>(batch), 1);
        }
      }
      EXPECT_NEAR(requested, 1, 1e-12);
      EXPECT_EQ(sum, batch);
    }
  }
}

TEST(Quotas, Errors) {
  const auto fails = [](const MixtureOptions& options, const std::vector<std::string>& tasks,
                        const std::vector<std::uint64_t>& samples, Exit code, const std::string& part) {
    expect_error([&] { quotas(options, tasks, samples); }, code, part);
  };
  fails(mixture("uniform", 2), {"a", "b", "c"}, {1, 1, 1}, Exit::config, "mixture.batch is 2, but there are 3 tasks");
  fails(mixture("uniform", -1), {"a"}, {1}, Exit::config, "mixture.batch is -1");
  fails(mixture("unifrom", 4), {"a"}, {1}, Exit::config, "mixture.kind is 'unifrom', expected proportional");
  fails(mixture("uniform", 4), {}, {}, Exit::config, "name at least one");
  fails(mixture("uniform", 4), {"a", "b"}, {1}, Exit::internal, "2 tasks, but 1 sizes");
  fails(mixture("uniform", 4), {"a", "b"}, {1, 0}, Exit::data, "task 'b' has no training samples");
  MixtureOptions options = mixture("explicit", 4);
  options.rates = {{"a", 1}};
  fails(options, {"a", "b"}, {1, 1}, Exit::config, "task 'b' has no rate");
  for (const double rate : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    options.rates["b"] = rate;
    fails(options, {"a", "b"}, {1, 1}, Exit::config, "the rate of task 'b' is");
  }
  options.rates = {{"a", 1e308}, {"b", 1e308}};
  fails(options, {"a", "b"}, {1, 1}, Exit::config, "too large to add");
  for (const double temperature : {0.0, -2.0, std::nan(""), HUGE_VAL}) {
    options = mixture("temperature", 4);
    options.temperature = temperature;
    fails(options, {"a"}, {1}, Exit::config, "mixture.temperature is");
  }
  options.temperature = 1e-3;
  fails(options, {"a"}, {1000}, Exit::config, "too large to add");
}

TEST(Permute, IsABijectionForEverySize) {
  std::vector<char> seen;
  for (std::uint64_t n = 1; n <= 5000; ++n) {
    // Above the table's limit one epoch a size keeps the test short.
    for (std::uint64_t epoch = n % 2; epoch < 2; epoch += n <= 4096 ? 1 : 2) {
      seen.assign(n, 0);
      std::uint64_t found = 0;
      for (std::uint64_t i = 0; i < n; ++i) {
        const std::uint64_t value = permute(17, epoch, n, i);
        ASSERT_LT(value, n);
        found += seen[value] == 0;
        seen[value] = 1;
      }
      ASSERT_EQ(found, n) << "epoch " << epoch;
    }
  }
}

TEST(Permute, IsABijectionOfLargeSizes) {
  for (const std::uint64_t n : {65535ULL, 65536ULL, 65537ULL, 117659ULL, 262145ULL}) {
    std::vector<char> seen(n);
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t value = permute(3, 2, n, i);
      ASSERT_LT(value, n);
      ASSERT_EQ(seen[value]++, 0) << n;
    }
  }
  // No table can hold these; distinct inputs stay distinct.
  for (const std::uint64_t n : {1ULL << 40, (1ULL << 40) + 1, 1ULL << 63, ~0ULL}) {
    std::set<std::uint64_t> values;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const std::uint64_t value = permute(3, 2, n, i);
      EXPECT_LT(value, n);
      values.insert(value);
    }
    EXPECT_EQ(values.size(), 1000U);
  }
}

TEST(Permute, EveryOrderOfASmallTaskIsEquallyLikely) {
  constexpr int kEpochs = 24000;
  std::map<std::vector<std::uint64_t>, int> counts;
  for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    std::vector<std::uint64_t> order(4);
    for (std::uint64_t i = 0; i < 4; ++i) order[i] = permute(11, epoch, 4, i);
    ++counts[order];
  }
  ASSERT_EQ(counts.size(), 24U);
  double chi_square = 0;
  for (const auto& [order, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000;
  EXPECT_LT(chi_square, 23 + 5 * std::sqrt(2 * 23.0));
}

TEST(Permute, IsCloseToUniformAndNeighboursAreUnrelated) {
  constexpr std::uint64_t kBins = 50;
  for (const std::uint64_t n : {1000ULL, 4096ULL, 4097ULL, 10000ULL, 100003ULL}) {
    const std::uint64_t epochs = n <= 4096 ? 300 : 20;
    // Where samples of the first fiftieth of the indices land, over epochs; and how often the next index gives the next
    // sample.
    std::vector<double> landed(kBins);
    double draws = 0, successors = 0, pairs = 0;
    for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
      std::uint64_t before = permute(23, epoch, n, 0);
      for (std::uint64_t i = 1; i < n; ++i) {
        const std::uint64_t value = permute(23, epoch, n, i);
        if (i < n / kBins) {
          ++landed[value * kBins / n];
          ++draws;
        }
        successors += value == before + 1;
        ++pairs;
        before = value;
      }
    }
    double chi_square = 0;
    for (const double count : landed) chi_square += (count - draws / kBins) * (count - draws / kBins) / (draws / kBins);
    EXPECT_LT(chi_square, kBins - 1 + 5 * std::sqrt(2.0 * (kBins - 1))) << n;
    // One successor an epoch is expected, with a Poisson's spread.
    const double expected = pairs / static_cast<double>(n);
    EXPECT_NEAR(successors, expected, 5 * std::sqrt(expected)) << n;
  }
}

TEST(Permute, DiffersByTaskSeedAndEpoch) {
  for (const std::uint64_t n : {1000ULL, 10000ULL}) {
    const auto order = [n](std::uint64_t key, std::uint64_t epoch) {
      std::vector<std::uint64_t> values;
      for (std::uint64_t i = 0; i < 100; ++i) values.push_back(permute(key, epoch, n, i));
      return values;
    };
    const auto base = order(task_key(1, "a"), 0);
    EXPECT_EQ(base, order(task_key(1, "a"), 0));
    EXPECT_NE(base, order(task_key(1, "a"), 1));
    EXPECT_NE(base, order(task_key(2, "a"), 0));
    EXPECT_NE(base, order(task_key(1, "b"), 0));
  }
}

TEST(Permute, IsTheSameOnEveryThreadAndAfterOtherTables) {
  const std::uint64_t here = permute(5, 6, 1000, 7);
  std::uint64_t there = 0;
  std::thread([&] { there = permute(5, 6, 1000, 7); }).join();
  EXPECT_EQ(here, there);
  for (std::uint64_t epoch = 0; epoch < 600; ++epoch) permute(5, epoch, 50, 0);  // more tables than are kept
  EXPECT_EQ(permute(5, 6, 1000, 7), here);
}

TEST(Permute, RefusesAnIndexOutside) {
  expect_error([] { permute(1, 0, 10, 10); }, Exit::internal, "index 10 of 10");
  expect_error([] { permute(1, 0, 0, 0); }, Exit::internal, "index 0 of 0");
}

// A checkpoint is continued by later versions: these values must not change.
TEST(Permute, KeepsItsValues) {
  EXPECT_EQ(task_key(1, "section"), 0x17eb58bf394ce1c4ULL);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 100, 0), 1U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 100, 1), 18U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 100, 99), 97U);
  EXPECT_EQ(permute(task_key(1, "section"), 3, 100, 0), 33U);
  EXPECT_EQ(permute(task_key(1, "section"), 3, 100, 1), 61U);
  EXPECT_EQ(permute(task_key(1, "section"), 3, 100, 99), 74U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 10000, 0), 9824U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 10000, 1), 6619U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 10000, 99), 8990U);
  EXPECT_EQ(permute(task_key(1, "section"), 3, 10000, 0), 6769U);
  EXPECT_EQ(permute(task_key(1, "section"), 3, 10000, 1), 5740U);
  EXPECT_EQ(permute(task_key(1, "section"), 3, 10000, 99), 581U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 1000000, 0), 137085U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 1000000, 1), 549708U);
  EXPECT_EQ(permute(task_key(1, "section"), 0, 1000000, 99), 185364U);
}

TEST(Stream, EverySampleOnceAnEpoch) {
  const std::uint64_t key = task_key(1, "a");
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::uint64_t> samples;
    for (std::uint64_t k = 0; k < 77; ++k) samples.insert(sample_at(key, epoch * 77 + k, 77));
    EXPECT_EQ(samples.size(), 77U);
    EXPECT_EQ(*samples.rbegin(), 76U);
  }
}

TEST(Positions, AcrossEntries) {
  // Task 1 stops at step 11 and starts again at step 21; each entry continues where the one before ends.
  const std::vector<MixtureEntry> entries = {{1, {3, 1}, {0, 0}}, {11, {4, 0}, {30, 10}}, {21, {2, 2}, {70, 10}}};
  std::vector<std::uint64_t> next = {0, 0};
  for (std::int64_t step = 1; step <= 40; ++step) {
    for (std::size_t task = 0; task < 2; ++task) {
      const PositionRange range = positions(entries, task, step);
      EXPECT_EQ(range.first, next[task]) << "task " << task << ", step " << step;
      EXPECT_EQ(range.count, entries[step < 11 ? 0 : step < 21 ? 1 : 2].quota[task]);
      next[task] += static_cast<std::uint64_t>(range.count);
    }
  }
  // After a rollback the later entry counts from another step and position.
  EXPECT_EQ(positions({{1, {3}, {0}}, {5, {3}, {100}}}, 0, 6).first, 103U);
}

TEST(Positions, OutsideOfTheEntries) {
  expect_error([] { positions({}, 0, 1); }, Exit::internal, "no mixture entry covers step 1");
  expect_error([] { positions({{1, {3}, {0}}}, 0, 0); }, Exit::internal, "no mixture entry covers step 0");
  expect_error([] { positions({{1, {3}, {0}}}, 1, 1); }, Exit::internal, "task 1 of a mixture entry with 1 quotas");
}

}  // namespace
}  // namespace polyhead
