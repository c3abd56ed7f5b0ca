// The samples that workers load: the same samples and masks on any number of workers, each sample on exactly one.
#include "datasets/sampling/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "core/base/counter_random.h"
#include "core/base/hash.h"
#include "datasets/sampling/prefetch.h"
#include "datasets/shard.h"
#include "datasets/shard_writer.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

constexpr std::int64_t kVocabulary = 300;
constexpr std::uint64_t kSeed = 11;

// Tokens without meaning; lengths are skewed.
std::vector<std::uint32_t> sequence(std::uint64_t key) {
  double normal = -6;
  for (std::uint64_t k = 0; k < 12; ++k) normal += unit(draw(key, k));
  std::vector<std::uint32_t> tokens = {2};
  const auto words = std::clamp<std::size_t>(static_cast<std::size_t>(std::exp(2 + normal)), 1, 100);
  for (std::size_t i = 0; i < words; ++i) tokens.push_back(5 + bounded(draw(key, 100 + i), kVocabulary - 5));
  tokens.push_back(3);
  return tokens;
}

// A data set of five tasks in several shards, made once.
class LoaderTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::filesystem::temp_directory_path() / ("polyhead-loader-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    manifest_.name = "loader";
    manifest_.tokenizer.kind = "sentencepiece";
    manifest_.tokenizer.vocab_size = kVocabulary;
    add("tiny", Kind::classification, {3});
    add("tags", Kind::tagging, {40, 33});
    add("text", Kind::masked_lm, {2000, 2600});
    add("pairs", Kind::translation, {500, 1, 99});
    add("topic", Kind::classification, {900});
  }
  static void TearDownTestSuite() {
    readers_.clear();
    manifest_ = {};
    std::filesystem::remove_all(folder_);
  }

  static void add(const std::string& name, Kind kind, const std::vector<std::uint64_t>& shards) {
    TaskInfo info;
    info.name = name;
    info.kind = kind;
    if (kind != Kind::masked_lm && kind != Kind::translation) info.labels = {"a", "b", "c"};
    SplitInfo& split = info.splits["train"];
    for (const std::uint64_t samples : shards) {
      ShardContent content;
      content.task = name;
      content.split = "train";
      content.kind = kind;
      content.vocab_size = kVocabulary;
      for (std::uint64_t i = 0; i < samples; ++i) {
        const std::uint64_t key = derive(hash_bytes(name), split.samples + i);
        content.input.push(sequence(key));
        if (kind == Kind::classification) content.label.push_back(bounded(draw(key, 1000), 3));
        if (kind == Kind::translation) content.target.push(sequence(derive(key, 7)));
      }
      if (kind == Kind::tagging)
        for (std::size_t i = 0; i < content.input.values.size(); ++i)
          content.tags.push_back(i % 4 == 0 ? kNotScored : static_cast<std::uint16_t>(i % 3));
      ShardInfo& file = split.shards.emplace_back();
      file.file = name + std::to_string(split.shards.size()) + ".h5";
      file.samples = samples;
      split.samples += samples;
      write_shard(folder_ / file.file, content);
    }
    manifest_.tasks.push_back(info);
    readers_.push_back(std::make_shared<SplitReader>(folder_, manifest_, info, "train"));
  }

  static std::vector<std::string> names() {
    std::vector<std::string> result;
    for (const TaskInfo& info : manifest_.tasks) result.push_back(info.name);
    return result;
  }

  // Tasks leave at steps 41 and 81 and come back.
  static std::vector<MixtureEntry> mixture(std::int64_t batch) {
    const auto rates = [](std::vector<double> rates) {
      Mixture mixture{.kind = "explicit", .temperature = 1, .cap = 0, .rates = {}};
      for (std::size_t t = 0; t < rates.size(); ++t) mixture.rates[names()[t]] = rates[t];
      return mixture;
    };
    const MixtureOptions options{
        .batch = batch, .phases = {{1, {}}, {41, rates({1, 0, 2, 2, 0})}, {81, rates({0, 1, 0, 1, 1})}, {101, {}}}};
    return entries_of(options, phase_quotas(options, names(), train_samples(manifest_, names())));
  }

  // One loader a worker. Groups of different sizes, spread over the workers; every worker is in one.
  static std::vector<Loader> workers(std::size_t count, MicroBatches cut = {}) {
    std::vector<std::vector<LoaderTask>> held(count);
    for (std::size_t task = 0; task < 5; ++task) {
      const std::size_t parts = 1 + (7 * task) % count;
      for (std::size_t member = 0; member < parts; ++member)
        held[(task + member) % count].push_back(
            {task, manifest_.tasks[task], readers_[task], {}, (member + task) % parts, parts});
    }
    std::vector<Loader> loaders;
    for (auto& tasks : held) {
      EXPECT_FALSE(tasks.empty());
      loaders.emplace_back(std::move(tasks), manifest_.tokenizer, kSeed, cut);
    }
    return loaders;
  }

  static inline std::filesystem::path folder_;
  static inline Manifest manifest_;
  static inline std::vector<std::shared_ptr<SplitReader>> readers_;
};

// A sample as a worker has it.
struct Seen {
  std::size_t task = 0;
  std::uint64_t key = 0;  // of (seed, task, stream position)
  std::uint64_t sample = 0;
  std::uint64_t content = 0;  // hash of its tokens after masking and its targets, masked rows counted from its begin
  auto operator<=>(const Seen&) const = default;  // NOLINT(modernize-use-nullptr): misread by clang-tidy 14
};

void add_seen(const Batch& batch, std::vector<Seen>& all) {
  for (const TaskSlice& slice : batch.slices) {
    std::size_t masked = 0;
    for (std::int64_t i = 0; i < slice.sequences; ++i) {
      const auto at = static_cast<std::size_t>(slice.first_sequence + i);
      const std::int64_t begin = batch.offsets[at], end = batch.offsets[at + 1];
      std::vector<std::int64_t> content(batch.tokens.begin() + begin, batch.tokens.begin() + end);
      const auto part = [&](const std::vector<std::int64_t>& values, std::int64_t first, std::int64_t last) {
        content.push_back(-1);
        if (!values.empty()) content.insert(content.end(), values.begin() + first, values.begin() + last);
      };
      part(slice.labels, i, i + 1);
      part(slice.tags, begin - slice.first_token, end - slice.first_token);
      if (!slice.target_offsets.empty())
        part(slice.target_tokens, slice.target_offsets[static_cast<std::size_t>(i)],
             slice.target_offsets[static_cast<std::size_t>(i) + 1]);
      for (; masked < slice.masked_rows.size() && slice.masked_rows[masked] < end; ++masked) {
        content.push_back(slice.masked_rows[masked] - begin);
        content.push_back(slice.masked_tokens[masked]);
      }
      all.push_back({slice.task, batch.keys[at], slice.samples[static_cast<std::size_t>(i)],
                     hash_bytes(content.data(), content.size() * sizeof content[0])});
    }
    EXPECT_EQ(masked, slice.masked_rows.size());
  }
}

struct Union {
  std::vector<Seen> samples;  // sorted
  std::uint64_t ids = 0;
  bool operator==(const Union&) const = default;
};

Union load(std::vector<Loader>& workers, const std::vector<MixtureEntry>& mixture, std::int64_t step) {
  Union all;
  for (Loader& worker : workers) {
    const Loader::Step loaded = worker.load(mixture, step);
    for (const Batch& batch : loaded.batches) add_seen(batch, all.samples);
    all.ids += loaded.ids;
  }
  std::ranges::sort(all.samples);
  return all;
}

TEST_F(LoaderTest, SamplesAndMasksAreTheSameOnAnyNumberOfWorkers) {
  constexpr std::int64_t kSteps = 2000;
  const std::vector<MixtureEntry> entries = mixture(16);
  std::vector<Loader> one = workers(1);
  std::vector<std::vector<Loader>> worlds;
  for (const std::size_t count : {2U, 3U, 4U, 8U}) worlds.push_back(workers(count));
  std::set<std::uint64_t> contents;
  for (std::int64_t step = 1; step <= kSteps; ++step) {
    const Union expected = load(one, entries, step);
    // What it must be, worked out anew.
    std::vector<std::array<std::uint64_t, 3>> wanted, found;
    std::uint64_t ids = 0;
    for (std::size_t task = 0; task < 5; ++task) {
      const PositionRange range = positions(entries, task, step);
      const std::uint64_t key = task_key(kSeed, names()[task]), samples = readers_[task]->size();
      for (std::uint64_t k = range.first; k < range.first + static_cast<std::uint64_t>(range.count); ++k) {
        wanted.push_back({task, derive(key, k), Permutation(key, k / samples, samples)(k % samples)});
        ids += hash_id(names()[task], k);
      }
    }
    std::ranges::sort(wanted);
    for (const Seen& seen : expected.samples) {
      found.push_back({seen.task, seen.key, seen.sample});
      contents.insert(seen.content);
    }
    ASSERT_EQ(found, wanted) << "step " << step;
    ASSERT_EQ(expected.ids, ids) << "step " << step;
    for (std::vector<Loader>& world : worlds)
      ASSERT_EQ(load(world, entries, step), expected) << "step " << step << " on " << world.size() << " workers";
  }
  EXPECT_GT(contents.size(), 5000U) << "the hash tells samples and masks apart";
}

// Stopped after every step and resumed on another number: fresh loaders each time, which have nothing but the entries.
TEST_F(LoaderTest, ARunMayStopAtAnyStepAndGoOnOnAnotherNumberOfWorkers) {
  const std::vector<MixtureEntry> entries = mixture(16);
  std::vector<Loader> one = workers(1);
  const std::vector<std::size_t> counts = {4, 1, 8, 3, 2};
  for (std::int64_t step = 1; step <= 200; ++step) {
    std::vector<Loader> resumed = workers(counts[static_cast<std::size_t>(step) % counts.size()]);
    ASSERT_EQ(load(resumed, entries, step), load(one, entries, step)) << "step " << step;
  }
}

TEST_F(LoaderTest, WorkersOfAGroupHaveEquallyManyTokensAndTheStreamsOrder) {
  const std::vector<MixtureEntry> entries = mixture(160);
  std::vector<Loader> world = workers(8);  // task 1 is on all of them, task 2 on seven
  std::int64_t least = 0, most = 0;
  for (std::int64_t step = 1; step <= 40; ++step) {
    std::vector<std::int64_t> tokens;
    for (Loader& worker : world) {
      const Batch batch = worker.load(entries, step).batches.front();
      for (const TaskSlice& slice : batch.slices) {
        const std::size_t task = slice.task;
        const std::uint64_t key = task_key(kSeed, names()[task]);
        const PositionRange range = positions(entries, task, step);
        std::uint64_t position = range.first;
        for (std::int64_t i = 0; i < slice.sequences; ++i, ++position)
          while (derive(key, position) != batch.keys[static_cast<std::size_t>(slice.first_sequence + i)])
            ASSERT_LT(++position, range.first + static_cast<std::uint64_t>(range.count)) << "out of the stream's order";
        if (task != 2) continue;
        const auto end = static_cast<std::size_t>(slice.first_sequence + slice.sequences);
        tokens.push_back(batch.offsets[end] - slice.first_token);
      }
    }
    ASSERT_EQ(tokens.size(), 7U);
    least += *std::ranges::min_element(tokens);
    most += *std::ranges::max_element(tokens);
  }
  EXPECT_LT(static_cast<double>(most), 1.3 * static_cast<double>(least));
}

TEST_F(LoaderTest, MicroBatchesAreTheStepCutInOrderIntoEqualParts) {
  const std::vector<MixtureEntry> entries = mixture(160);
  for (const std::int64_t parts : {2, 5}) {
    std::vector<Loader> whole = workers(2), cut = workers(2, {.parts = parts});
    for (std::int64_t step = 1; step <= 40; ++step)
      for (std::size_t worker = 0; worker < 2; ++worker) {
        const Loader::Step expected = whole[worker].load(entries, step), found = cut[worker].load(entries, step);
        ASSERT_EQ(found.batches.size(), static_cast<std::size_t>(parts));
        EXPECT_EQ(found.ids, expected.ids);
        std::vector<Seen> all, wanted;
        add_seen(expected.batches.front(), wanted);
        for (const Batch& batch : found.batches) {
          add_seen(batch, all);
          // Off by half a sample (at most 100 source and 100 target tokens) at both ends.
          EXPECT_NEAR(static_cast<double>(batch.token_count()),
                      static_cast<double>(expected.batches.front().token_count()) / static_cast<double>(parts), 204)
              << "step " << step;
        }
        EXPECT_EQ(all, wanted) << "step " << step;
      }
  }
  // More parts than samples: some are empty.
  std::vector<Loader> fine = workers(1, {.parts = 50});
  std::vector<Seen> all;
  std::int64_t empty = 0;
  for (const Batch& batch : fine[0].load(mixture(16), 1).batches) {
    add_seen(batch, all);
    empty += batch.slices.empty();
  }
  EXPECT_EQ(all.size(), 16U);
  EXPECT_GE(empty, 34);
}

TEST_F(LoaderTest, MicroBatchesOfNeighboursAreTheSameOnAnyNumberOfWorkers) {
  const std::vector<MixtureEntry> entries = mixture(160);
  constexpr std::int64_t kSamples = 7;
  // Each micro-batch by its task and first key: everything in it, in order.
  const auto micro_batches = [&](std::vector<Loader>& world, std::int64_t step) {
    std::map<std::pair<std::size_t, std::uint64_t>, std::vector<Seen>> all;
    for (Loader& worker : world)
      for (const Batch& batch : worker.load(entries, step).batches) {
        EXPECT_EQ(batch.slices.size(), 1U);
        std::vector<Seen>& seen = all[{batch.slices.front().task, batch.keys.front()}];
        EXPECT_TRUE(seen.empty()) << "on two workers";
        add_seen(batch, seen);
      }
    return all;
  };
  std::vector<Loader> one = workers(1, {.parts = 1, .samples = kSamples});
  for (const std::size_t count : {2U, 3U, 8U}) {
    std::vector<Loader> world = workers(count, {.parts = 1, .samples = kSamples});
    for (std::int64_t step = 30; step <= 50; ++step) {
      const auto found = micro_batches(world, step);
      EXPECT_EQ(found, micro_batches(one, step)) << count << " workers, step " << step;
      for (std::size_t task = 0; task < 5; ++task) {
        const PositionRange range = positions(entries, task, step);
        const std::uint64_t key = task_key(kSeed, names()[task]);
        for (std::int64_t first = 0; first < range.count; first += kSamples) {
          const auto batch = found.find({task, derive(key, range.first + static_cast<std::uint64_t>(first))});
          ASSERT_NE(batch, found.end());
          EXPECT_EQ(std::ssize(batch->second), std::min(kSamples, range.count - first));
        }
      }
    }
  }
}

TEST_F(LoaderTest, TheSameThroughAPrefetchThread) {
  const std::vector<MixtureEntry> entries = mixture(16);
  std::vector<Loader> one = workers(1), behind = workers(1);
  Prefetcher<Loader::Step> steps([&](std::int64_t step) { return behind[0].load(entries, step); }, 30, 120, 3);
  for (std::int64_t step = 30; step <= 120; ++step) {
    const Loader::Step expected = one[0].load(entries, step), found = steps.next();
    EXPECT_EQ(found.batches.front().tokens, expected.batches.front().tokens);
    EXPECT_EQ(found.batches.front().keys, expected.batches.front().keys);
    EXPECT_EQ(found.ids, expected.ids);
  }
}

}  // namespace
}  // namespace polyhead
