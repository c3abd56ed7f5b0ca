// Mixtures: quotas, phases, stream positions, and messages.
#include "datasets/sampling/mixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "core/base/error.h"
#include "datasets/sampling/sampling.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

std::vector<std::int64_t> shares(const Mixture& mixture, std::int64_t batch,
                                 const std::vector<std::uint64_t>& samples) {
  std::vector<std::string> tasks;
  for (std::size_t t = 0; t < samples.size(); ++t) tasks.push_back("task" + std::to_string(t));
  std::vector<std::int64_t> result;
  for (const TaskQuota& quota : quotas(mixture, batch, tasks, samples)) result.push_back(quota.samples);
  return result;
}

using Quotas = std::vector<std::int64_t>;

Mixture mixture(const std::string& kind, double temperature = 2, std::int64_t cap = 0) {
  return {.kind = kind, .temperature = temperature, .cap = cap, .rates = {}};
}
Mixture rates(const std::map<std::string, double>& rates) {
  return {.kind = "explicit", .temperature = 2, .cap = 0, .rates = rates};
}

TEST(Quotas, Kinds) {
  EXPECT_EQ(shares(mixture("proportional"), 10, {700, 200, 100}), (Quotas{7, 2, 1}));
  EXPECT_EQ(shares(mixture("uniform"), 12, {700, 200, 100}), (Quotas{4, 4, 4}));
  EXPECT_EQ(shares(mixture("temperature"), 7, {1600, 400, 100}), (Quotas{4, 2, 1}));
  EXPECT_EQ(shares(rates({{"task0", 1.5}, {"task1", 4.5}, {"task2", 6}, {"another", 9}}), 8, {1, 1, 1}),
            (Quotas{1, 3, 4}));
  EXPECT_EQ(shares(mixture("temperature", 1), 10, {700, 200, 100}), (Quotas{7, 2, 1}));
  EXPECT_EQ(shares(mixture("temperature", 1e6), 10, {90000, 10}), (Quotas{5, 5}));
}

TEST(Quotas, NoTaskCountsAsMoreThanTheCap) {
  EXPECT_EQ(shares(mixture("temperature", 1, 200), 10, {700, 200, 100}), (Quotas{4, 4, 2}));
  EXPECT_EQ(shares(mixture("temperature", 2, 400), 10, {1000000, 400, 100}), (Quotas{4, 4, 2}));
  EXPECT_EQ(shares(mixture("temperature", 1, 1e9), 10, {700, 200, 100}), (Quotas{7, 2, 1}));
}

TEST(Quotas, ARateOfZeroLeavesTheTaskOut) {
  EXPECT_EQ(shares(rates({{"task0", 1}, {"task1", 0}, {"task2", 3}}), 8, {5, 5, 5}), (Quotas{2, 0, 6}));
  // The batch need only be as large as the tasks that take part are many.
  EXPECT_EQ(shares(rates({{"task0", 0}, {"task1", 0}, {"task2", 3}}), 1, {5, 5, 5}), (Quotas{0, 0, 1}));
  // One sample for the tiny rate, nothing for the absent one.
  EXPECT_EQ(shares(rates({{"task0", 0}, {"task1", 1e-9}, {"task2", 3}}), 4, {5, 5, 5}), (Quotas{0, 1, 3}));
}

TEST(Quotas, LargestRemainder) {
  // Shares of 7 in proportion 50:40:30 are 2.92, 2.33, 1.75.
  EXPECT_EQ(shares(mixture("proportional"), 7, {50, 40, 30}), (Quotas{3, 2, 2}));
  // Ties go to the earlier task.
  EXPECT_EQ(shares(mixture("uniform"), 5, {1, 1, 1}), (Quotas{2, 2, 1}));
  EXPECT_EQ(shares(mixture("uniform"), 64, std::vector<std::uint64_t>(12, 1)),
            (Quotas{6, 6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5}));
}

TEST(Quotas, AtLeastOneATask) {
  EXPECT_EQ(shares(mixture("proportional"), 10, {1000000, 1, 1}), (Quotas{8, 1, 1}));
  EXPECT_EQ(shares(mixture("proportional"), 3, {1000000, 1, 1}), (Quotas{1, 1, 1}));
  EXPECT_EQ(shares(mixture("uniform"), 1, {5}), (Quotas{1}));
  // Giving tiny tasks their one sample pushes the next one below one, too: 10 x 0.1 = 1.0 of 10, but 0.1 / 0.99 x 8
  // < 1.
  EXPECT_EQ(shares(mixture("proportional"), 10, {8900, 1000, 50, 50}), (Quotas{7, 1, 1, 1}));
}

TEST(Quotas, SumIsTheBatchAndSharesAreWithinOne) {
  for (std::int64_t batch = 6; batch < 300; batch += 7) {
    const std::vector<std::uint64_t> samples = {58000, 23000, 8900, 117659, 10605, 3708};
    for (const char* kind : {"proportional", "uniform", "temperature"}) {
      std::vector<std::string> tasks = {"a", "b", "c", "d", "e", "f"};
      const std::vector<TaskQuota> result = quotas(mixture(kind), batch, tasks, samples);
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
  const auto fails = [](const Mixture& mixture, std::int64_t batch, const std::vector<std::string>& tasks,
                        const std::vector<std::uint64_t>& samples, Exit code, const std::string& part) {
    expect_error(code, {part}, [&] { quotas(mixture, batch, tasks, samples); });
  };
  fails(mixture("uniform"), 2, {"a", "b", "c"}, {1, 1, 1}, Exit::config, "mixture.batch is 2, but there are 3 tasks");
  fails(mixture("uniform"), -1, {"a"}, {1}, Exit::config, "mixture.batch is -1");
  fails(mixture("unifrom"), 4, {"a"}, {1}, Exit::config, "mixture.kind is 'unifrom', expected proportional");
  fails(mixture("uniform"), 4, {}, {}, Exit::config, "name at least one");
  fails(mixture("uniform"), 4, {"a", "b"}, {1}, Exit::internal, "2 tasks, but 1 sizes");
  fails(mixture("uniform"), 4, {"a", "b"}, {1, 0}, Exit::data, "task 'b' has no training samples");
  fails(rates({{"a", 1}}), 4, {"a", "b"}, {1, 1}, Exit::config, "task 'b' has no rate");
  for (const double rate : {-1.0, std::nan(""), HUGE_VAL})
    fails(rates({{"a", 1}, {"b", rate}}), 4, {"a", "b"}, {1, 1}, Exit::config, "the rate of task 'b' is");
  fails(rates({{"a", 0}, {"b", 0}}), 4, {"a", "b"}, {1, 1}, Exit::config, "the rates of all tasks are 0");
  fails(rates({{"a", 1e308}, {"b", 1e308}}), 4, {"a", "b"}, {1, 1}, Exit::config, "too large to add");
  for (const double value : {-2.0, std::nan(""), HUGE_VAL})
    fails(mixture("temperature", value), 4, {"a"}, {1}, Exit::config, "mixture.temperature is");
  fails(mixture("temperature", 2, -2), 4, {"a"}, {1}, Exit::config, "mixture.cap is");
  fails(mixture("temperature", 0), 4, {"a"}, {1}, Exit::config, "mixture.temperature is");
  fails(mixture("temperature", 1e-3), 4, {"a"}, {1000}, Exit::config, "too large to add");
}

// Three phases: task b leaves in the second and comes back in the third.
MixtureOptions three_phases() {
  return {
      .batch = 8,
      .phases = {
          {1, mixture("uniform")}, {11, rates({{"a", 1}, {"b", 0}, {"c", 3}})}, {21, mixture("temperature", 1, 200)}}};
}
const std::vector<std::string> kTasks = {"a", "b", "c"};
const std::vector<std::uint64_t> kSizes = {100, 40, 900};

TEST(Phases, EachTasksStreamGoesOnWhereItStopped) {
  const auto quotas = phase_quotas(three_phases(), kTasks, kSizes);
  const std::vector<MixtureEntry> entries = entries_of(three_phases(), quotas);
  EXPECT_EQ(entries, (std::vector<MixtureEntry>{
                         {1, {3, 3, 2}, {0, 0, 0}}, {11, {2, 0, 6}, {30, 30, 20}}, {21, {2, 1, 5}, {50, 30, 80}}}));
  const std::vector<double> done = epochs(entries, kSizes, 30);
  EXPECT_EQ(done, (std::vector<double>{70.0 / 100, 40.0 / 40, 130.0 / 900}));
  EXPECT_EQ(epochs(entries, kSizes, 10), (std::vector<double>{30.0 / 100, 30.0 / 40, 20.0 / 900}));
  EXPECT_EQ(epochs(entries, kSizes, 0), (std::vector<double>{0, 0, 0}));
}

TEST(Phases, AreSaidInFull) {
  const MixtureOptions options = three_phases();
  EXPECT_EQ(describe(options, phase_quotas(options, kTasks, kSizes), kTasks, kSizes, 30),
            "mixture of steps 1 to 10: uniform, 8 samples a step\n"
            "  a: 3 (37.5 %, 33.3 % requested)  warning: more than 10 % off; a larger mixture.batch comes closer\n"
            "  b: 3 (37.5 %, 33.3 % requested)  warning: more than 10 % off; a larger mixture.batch comes closer\n"
            "  c: 2 (25.0 %, 33.3 % requested)  warning: more than 10 % off; a larger mixture.batch comes closer\n"
            "mixture of steps 11 to 20: explicit, 8 samples a step\n"
            "  a: 2 (25.0 %, 25.0 % requested)\n"
            "  b: takes no part\n"
            "  c: 6 (75.0 %, 75.0 % requested)\n"
            "mixture of steps 21 to 30: temperature 1, cap 200, 8 samples a step\n"
            "  a: 2 (25.0 %, 29.4 % requested)  warning: more than 10 % off; a larger mixture.batch comes closer\n"
            "  b: 1 (12.5 %, 11.8 % requested)\n"
            "  c: 5 (62.5 %, 58.8 % requested)\n"
            "epochs in 30 steps: a 0.70, b 1.00, c 0.14\n");
}

TEST(Phases, Errors) {
  MixtureOptions options = three_phases();
  options.phases[0].mixture = options.phases[2].mixture = options.phases[1].mixture;
  expect_error(Exit::config, {"task 'b' takes part in no phase", "task.b.rate", "run.tasks"},
               [&] { phase_quotas(options, kTasks, kSizes); });
  options = three_phases();
  options.phases[2].step = 11;
  expect_error(Exit::internal, {"phase 3 begins at step 11"}, [&] { phase_quotas(options, kTasks, kSizes); });
  options.phases[0].step = 2;
  expect_error(Exit::internal, {"phase 1 begins at step 2"}, [&] { phase_quotas(options, kTasks, kSizes); });
}

// 10^6 steps of seven phases; tasks leave and come back. Every task's stream is read position by position, as training
// reads it: each epoch is a bijection, and the samples taken are the quotas times the steps.
TEST(Phases, AMillionStepsTakeExactlyTheQuotasAndEveryEpochIsABijection) {
  constexpr std::int64_t kSteps = 1'000'000;
  const std::vector<std::string> tasks = {"a", "b", "c", "d"};
  const std::vector<std::uint64_t> sizes = {3, 1000, 5003, 70001};
  const MixtureOptions options{.batch = 8,
                               .phases = {{1, mixture("temperature", 2)},
                                          {100'000, mixture("uniform")},
                                          {250'001, rates({{"a", 0}, {"b", 1}, {"c", 0}, {"d", 2}})},
                                          {400'000, mixture("proportional")},
                                          {555'555, rates({{"a", 5}, {"b", 0}, {"c", 1}, {"d", 0}})},
                                          {777'777, mixture("temperature", 5, 2000)},
                                          {999'999, rates({{"a", 0}, {"b", 0}, {"c", 0}, {"d", 1}})}}};
  const auto quotas = phase_quotas(options, tasks, sizes);
  const std::vector<MixtureEntry> entries = entries_of(options, quotas);
  for (std::size_t task = 0; task < tasks.size(); ++task) {
    SampleStream stream(task_key(3, tasks[task]), sizes[task]);
    std::vector<char> seen(sizes[task], 0);
    std::vector<std::uint64_t> samples;
    std::uint64_t taken = 0, repeats = 0;
    std::vector<std::int64_t> by_phase(quotas.size(), 0);
    std::size_t phase = 0;
    for (std::int64_t step = 1; step <= kSteps; ++step) {
      while (phase + 1 < quotas.size() && step >= options.phases[phase + 1].step) ++phase;
      const PositionRange range = positions(entries, task, step);
      ASSERT_EQ(range.first, taken) << tasks[task] << ", step " << step;
      samples.resize(static_cast<std::size_t>(range.count));
      stream.read(range.first, samples);
      for (const std::uint64_t sample : samples) {
        repeats += static_cast<std::uint64_t>(seen.at(sample)++ != 0);
        // The end of an epoch: with no repeats in as many samples as there are, each was there once.
        if (++taken % sizes[task] == 0) seen.assign(sizes[task], 0);
      }
      by_phase[phase] += range.count;
    }
    EXPECT_EQ(repeats, 0U) << tasks[task];
    for (std::size_t p = 0; p < quotas.size(); ++p) {
      const std::int64_t last = p + 1 < quotas.size() ? options.phases[p + 1].step - 1 : kSteps;
      EXPECT_EQ(by_phase[p], quotas[p][task].samples * (last - options.phases[p].step + 1)) << tasks[task];
    }
    EXPECT_EQ(epochs(entries, sizes, kSteps)[task], static_cast<double>(taken) / static_cast<double>(sizes[task]));
    EXPECT_GT(taken, 2 * sizes[task]) << "several epochs";
  }
}

TEST(Without, TasksThatLeaveTakeNothingAndTheOthersGoOn) {
  const std::vector<std::string> tasks = {"a", "b", "c"};
  const std::vector<std::uint64_t> sizes = {10, 20, 30};
  const MixtureOptions options{
      .batch = 9,
      .phases = {{1, mixture("uniform")}, {11, rates({{"a", 2}, {"b", 1}, {"c", 0}})}, {21, mixture("proportional")}}};
  const std::vector<MixtureEntry> all = entries_of(options, phase_quotas(options, tasks, sizes));
  // b leaves in the first phase, a in the second, whose tasks have then all left.
  const auto one = without(all, {false, true, false}, 6, options, tasks, sizes);
  EXPECT_EQ(one, (std::vector<MixtureEntry>{{1, {3, 3, 3}, {0, 0, 0}},
                                            {6, {5, 0, 4}, {15, 15, 15}},
                                            {11, {9, 0, 0}, {40, 15, 35}},
                                            {21, {2, 0, 7}, {130, 15, 35}}}));
  const auto two = without(one, {true, true, false}, 16, options, tasks, sizes);
  EXPECT_EQ(two, (std::vector<MixtureEntry>{{1, {3, 3, 3}, {0, 0, 0}},
                                            {6, {5, 0, 4}, {15, 15, 15}},
                                            {11, {9, 0, 0}, {40, 15, 35}},
                                            {16, {0, 0, 9}, {85, 15, 35}},
                                            {21, {0, 0, 9}, {85, 15, 80}}}));
  // At the first step of a phase there is one entry for it, and nobody leaves without a change.
  EXPECT_EQ(without(all, {false, false, false}, 11, options, tasks, sizes), all);
  EXPECT_EQ(without(all, {false, true, true}, 1, options, tasks, sizes),
            (std::vector<MixtureEntry>{
                {1, {9, 0, 0}, {0, 0, 0}}, {11, {9, 0, 0}, {90, 0, 0}}, {21, {9, 0, 0}, {180, 0, 0}}}));
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
  expect_error(Exit::internal, {"no mixture entry covers step 1"}, [] { positions({}, 0, 1); });
  expect_error(Exit::internal, {"no mixture entry covers step 0"}, [] { positions({{1, {3}, {0}}}, 0, 0); });
  expect_error(Exit::internal, {"task 1 of a mixture entry with 1 quotas"}, [] { positions({{1, {3}, {0}}}, 1, 1); });
}

}  // namespace
}  // namespace polyhead
