// Packing: what a batch holds for each kind of task, and the masks of masked_lm.
#include "datasets/sampling/packing.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "datasets/shard.h"
#include "datasets/shard_writer.h"

namespace polyhead {
namespace {

using Numbers = std::vector<std::int64_t>;

constexpr std::uint64_t kLong = 3;  // a masked_lm sample with 2,000 tokens
constexpr std::int64_t kVocabulary = 40;

// A data set of a task of each kind in a folder of its own, two shards for the first.
class Packing : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::filesystem::temp_directory_path() / ("polyhead-packing-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    manifest_.name = "packing";
    manifest_.tokenizer.kind = "sentencepiece";
    manifest_.tokenizer.vocab_size = kVocabulary;

    ShardContent section = content("section", Kind::classification);
    section.input.push(std::vector<int>{2, 10, 11, 3});
    section.input.push(std::vector<int>{2, 12, 3});
    section.label = {1, 0};
    ShardContent more = content("section", Kind::classification);
    more.input.push(std::vector<int>{2, 13, 14, 15, 3});
    more.label = {2};
    add(Kind::classification, {"a", "b", "c"}, {section, more});

    ShardContent pos = content("pos", Kind::tagging);
    pos.input.push(std::vector<int>{2, 20, 21, 22, 3});
    pos.input.push(std::vector<int>{2, 23, 3});
    pos.tags = {kNotScored, 0, kNotScored, 1, kNotScored, kNotScored, 1, kNotScored};
    add(Kind::tagging, {"NOUN", "VERB"}, {pos});

    ShardContent text = content("text", Kind::masked_lm);
    text.input.push(std::vector<int>{2, 30, 31, 32, 3});
    text.input.push(std::vector<int>{2, 1, 3});     // one unknown token
    text.input.push(std::vector<int>{2, 0, 4, 3});  // special tokens only
    std::vector<std::int64_t> words = {2};
    for (std::uint64_t i = 0; i < 2000; ++i) words.push_back(5 + bounded(draw(9, i), kVocabulary - 5));
    words.push_back(3);
    text.input.push(words);
    add(Kind::masked_lm, {}, {text});

    ShardContent translation = content("en-it", Kind::translation);
    translation.input.push(std::vector<int>{2, 16, 3});
    translation.input.push(std::vector<int>{2, 17, 18, 3});
    translation.target.push(std::vector<int>{26, 27, 3});
    translation.target.push(std::vector<int>{28, 3});
    add(Kind::translation, {}, {translation});

    ShardContent uses = content("uses", Kind::multilabel);
    uses.width = 3;
    uses.input.push(std::vector<int>{2, 5, 3});
    uses.input.push(std::vector<int>{2, 6, 7, 3});
    uses.labels = {0, 1, 1, 0, 0, 0};
    uses.second = {0, 2};
    add(Kind::multilabel, {"x", "y", "z"}, {uses});

    ShardContent rating = content("rating", Kind::regression);
    rating.width = 2;
    rating.input.push(std::vector<int>{2, 8, 3});
    rating.input.push(std::vector<int>{2, 9, 3});
    rating.value = {0.5F, -1, 3, 4};
    add(Kind::regression, {}, {rating}, {"good", "long"});
  }

  static void TearDownTestSuite() {
    readers_.clear();
    manifest_ = {};
    std::filesystem::remove_all(folder_);
  }

  static ShardContent content(const std::string& task, Kind kind) {
    ShardContent result;
    result.task = task;
    result.split = "train";
    result.kind = kind;
    result.vocab_size = kVocabulary;
    return result;
  }

  static void add(Kind kind, const std::vector<std::string>& labels, const std::vector<ShardContent>& shards,
                  const std::vector<std::string>& outputs = {}) {
    TaskInfo info;
    info.name = shards.front().task;
    info.kind = kind;
    info.labels = labels;
    info.outputs = outputs;
    SplitInfo& split = info.splits["train"];
    for (const ShardContent& shard : shards) {
      ShardInfo& file = split.shards.emplace_back();
      file.file = info.name + std::to_string(split.shards.size()) + ".h5";
      file.samples = shard.samples();
      split.samples += shard.samples();
      write_shard(folder_ / file.file, shard);
    }
    manifest_.tasks.push_back(info);
    readers_.push_back(std::make_unique<SplitReader>(folder_, manifest_, info, "train"));
  }

  // Appends with the key 100 * task + sample.
  static void pack(Batch& batch, std::size_t task, std::uint64_t sample, const MaskingOptions& masking = {}) {
    pack_with_key(batch, task, sample, 100 * task + sample, masking);
  }
  static void pack_with_key(Batch& batch, std::size_t task, std::uint64_t sample, std::uint64_t key,
                            const MaskingOptions& masking = {}) {
    append(batch, task, manifest_.tasks[task], manifest_.tokenizer, readers_[task]->sample(sample), key, masking);
  }
  // The original tokens of a masked_lm sample.
  static Numbers original(std::uint64_t sample) {
    Numbers tokens;
    readers_[kText]->sample(sample).input_tokens(tokens);
    return tokens;
  }

  static constexpr std::size_t kSection = 0, kPos = 1, kText = 2, kTranslation = 3, kUses = 4, kRating = 5;
  static inline std::filesystem::path folder_;
  static inline Manifest manifest_;
  static inline std::vector<std::unique_ptr<SplitReader>> readers_;
};

TEST_F(Packing, SequencesOfAllKindsOneAfterAnother) {
  Batch batch;
  pack(batch, kSection, 2);
  pack(batch, kSection, 0);
  pack(batch, kPos, 1);
  pack(batch, kPos, 0);
  pack(batch, kTranslation, 1);
  pack(batch, kTranslation, 0);
  EXPECT_EQ(batch.tokens,
            (Numbers{2, 13, 14, 15, 3, 2, 10, 11, 3, 2, 23, 3, 2, 20, 21, 22, 3, 2, 17, 18, 3, 2, 16, 3}));
  EXPECT_EQ(batch.offsets, (Numbers{0, 5, 9, 12, 17, 21, 24}));
  EXPECT_EQ(batch.keys, (std::vector<std::uint64_t>{2, 0, 101, 100, 301, 300}));
  EXPECT_EQ(batch.token_count(), 24 + 5);
  EXPECT_TRUE(batch.second.empty());  // none has a second text

  ASSERT_EQ(batch.slices.size(), 3U);
  const TaskSlice& section = batch.slices[0];
  EXPECT_EQ(section.task, kSection);
  EXPECT_EQ(section.first_sequence, 0);
  EXPECT_EQ(section.sequences, 2);
  EXPECT_EQ(section.samples, (std::vector<std::uint64_t>{2, 0}));
  EXPECT_EQ(section.labels, (Numbers{2, 1}));
  EXPECT_EQ(section.count, 2);
  const TaskSlice& pos = batch.slices[1];
  EXPECT_EQ(pos.task, kPos);
  EXPECT_EQ(pos.first_sequence, 2);
  EXPECT_EQ(pos.sequences, 2);
  EXPECT_EQ(pos.tags, (Numbers{kIgnore, 1, kIgnore, kIgnore, 0, kIgnore, 1, kIgnore}));
  EXPECT_EQ(pos.count, 3);
  const TaskSlice& translation = batch.slices[2];
  EXPECT_EQ(translation.first_sequence, 4);
  EXPECT_EQ(translation.target_tokens, (Numbers{28, 3, 26, 27, 3}));
  EXPECT_EQ(translation.target_offsets, (Numbers{0, 2, 5}));
  EXPECT_EQ(translation.count, 5);
  for (const TaskSlice& slice : batch.slices) {
    EXPECT_TRUE(slice.masked_rows.empty());
    EXPECT_EQ(slice.labels.empty(), &slice != &section);
    EXPECT_EQ(slice.tags.empty(), &slice != &pos);
    EXPECT_EQ(slice.target_offsets.empty(), &slice != &translation);
  }
}

TEST_F(Packing, LabelSetsAndValuesAreRowsOfTheSlice) {
  Batch batch;
  for (const std::size_t task : {kUses, kRating})
    for (const std::uint64_t sample : {1U, 0U}) pack(batch, task, sample);
  ASSERT_EQ(batch.slices.size(), 2U);
  EXPECT_EQ(batch.second, (Numbers{2, 0, 0, 0}));
  EXPECT_EQ(batch.slices[0].labels, (Numbers{0, 0, 0, 0, 1, 1}));
  EXPECT_TRUE(batch.slices[0].values.empty());
  EXPECT_EQ(batch.slices[0].count, 2);
  EXPECT_EQ(batch.slices[1].values, (std::vector<double>{3, 4, 0.5, -1}));
  EXPECT_TRUE(batch.slices[1].labels.empty());
  EXPECT_EQ(batch.slices[1].count, 2);
}

TEST_F(Packing, ATaskThatComesBackOpensANewSlice) {
  Batch batch;
  pack(batch, kSection, 0);
  pack(batch, kTranslation, 0);
  pack(batch, kSection, 1);
  pack(batch, kTranslation, 1);
  ASSERT_EQ(batch.slices.size(), 4U);
  EXPECT_EQ(batch.slices[2].first_sequence, 2);
  EXPECT_EQ(batch.slices[2].labels, (Numbers{0}));
  EXPECT_EQ(batch.slices[3].target_offsets, (Numbers{0, 2}));
}

TEST_F(Packing, MaskedRowsAreRowsOfTheBatch) {
  Batch batch;
  pack(batch, kSection, 0);
  pack(batch, kText, 0);
  pack(batch, kText, 1);
  const TaskSlice& slice = batch.slices[1];
  ASSERT_GE(slice.masked_rows.size(), 2U);
  EXPECT_EQ(slice.count, static_cast<std::int64_t>(slice.masked_rows.size()));
  Numbers unmasked = {2, 10, 11, 3};
  for (const std::uint64_t sample : {0U, 1U}) {
    const Numbers tokens = original(sample);
    unmasked.insert(unmasked.end(), tokens.begin(), tokens.end());
  }
  std::set<std::int64_t> rows;
  for (std::size_t i = 0; i < slice.masked_rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(slice.masked_rows[i]);
    ASSERT_GE(row, 4U);
    EXPECT_EQ(slice.masked_tokens[i], unmasked.at(row));
    unmasked[row] = batch.tokens[row];
    rows.insert(slice.masked_rows[i]);
  }
  EXPECT_EQ(batch.tokens, unmasked) << "only masked rows may change";
  EXPECT_EQ(rows.size(), slice.masked_rows.size());
  EXPECT_TRUE(rows.contains(10)) << "the unknown token is the second sequence's only one to mask";
}

TEST_F(Packing, MasksDependOnTheKeyAndTheIndexInTheSequenceOnly) {
  Batch alone, behind, other;
  pack_with_key(alone, kText, kLong, 77);
  pack(behind, kSection, 0);
  pack(behind, kText, 0);
  pack_with_key(behind, kText, kLong, 77);
  pack_with_key(other, kText, kLong, 78);
  const auto start = behind.tokens.end() - static_cast<std::ptrdiff_t>(alone.tokens.size());
  EXPECT_EQ(alone.tokens, Numbers(start, behind.tokens.end()));
  EXPECT_NE(alone.tokens, other.tokens);
}

TEST_F(Packing, SharesOfMasksAreAsAskedFor) {
  std::int64_t masked = 0, hidden = 0, kept = 0;
  std::vector<int> replacements(kVocabulary), by_index(10);
  constexpr int kKeys = 100;
  const Numbers tokens = original(kLong);
  for (std::uint64_t key = 0; key < kKeys; ++key) {
    Batch batch;
    pack_with_key(batch, kText, kLong, key);
    const TaskSlice& slice = batch.slices[0];
    masked += slice.count;
    for (const std::int64_t row : slice.masked_rows) {
      const auto i = static_cast<std::size_t>(row);
      ++by_index[(i - 1) / 200];
      if (batch.tokens[i] == 4) {
        ++hidden;
      } else if (batch.tokens[i] == tokens[i]) {
        ++kept;
      } else {
        ++replacements.at(static_cast<std::size_t>(batch.tokens[i]));
      }
    }
  }
  const auto within = [](double found, double draws, double share) {
    EXPECT_NEAR(found / draws, share, 5 * std::sqrt(share * (1 - share) / draws));
  };
  const auto total = static_cast<double>(masked);
  within(total, 2000.0 * kKeys, 0.15);
  within(static_cast<double>(hidden), total, 0.8);
  // One in 35 random tokens is the original by chance.
  within(static_cast<double>(kept), total, 0.1 + 0.1 / 35);
  for (const int count : by_index) within(count, total, 0.1);
  for (std::size_t id = 0; id < kVocabulary; ++id) {
    if (id < 5) {
      EXPECT_EQ(replacements[id], 0) << "special token " << id;
    } else {
      within(replacements[id], total, 0.1 * 34 / 35 / 35);
    }
  }
}

TEST_F(Packing, AtLeastOneMaskWhereATokenCanBeMasked) {
  MaskingOptions none;
  none.share = 0;
  std::set<std::int64_t> chosen;
  for (std::uint64_t key = 0; key < 60; ++key) {
    Batch batch;
    pack_with_key(batch, kText, 0, key, none);
    ASSERT_EQ(batch.slices[0].count, 1);
    chosen.insert(batch.slices[0].masked_rows[0]);
  }
  EXPECT_EQ(chosen, (std::set<std::int64_t>{1, 2, 3}));

  Batch special;
  pack(special, kText, 2);
  EXPECT_EQ(special.slices[0].count, 0);
  EXPECT_EQ(special.tokens, original(2));
}

TEST_F(Packing, MaskingOptionsAtTheirEnds) {
  MaskingOptions all;
  all.share = 1;
  all.mask = 1;
  Batch hidden;
  pack(hidden, kText, 0, all);
  EXPECT_EQ(hidden.tokens, (Numbers{2, 4, 4, 4, 3}));
  EXPECT_EQ(hidden.slices[0].masked_tokens, (Numbers{30, 31, 32}));
  all.mask = 0;
  all.random = 0;
  Batch kept;
  pack(kept, kText, 0, all);
  EXPECT_EQ(kept.tokens, original(0));
  EXPECT_EQ(kept.slices[0].count, 3);
}

TEST_F(Packing, RandomTokensAvoidSpecialIdsWhereverTheyAre) {
  TokenizerInfo scattered = manifest_.tokenizer;
  scattered.pad = 7, scattered.unk = 39, scattered.bos = 2, scattered.eos = 3, scattered.mask = 20;
  MaskingOptions random;
  random.share = 1, random.mask = 0, random.random = 1;
  std::set<std::int64_t> found;
  for (std::uint64_t key = 0; key < 5; ++key) {
    Batch batch;
    append(batch, kText, manifest_.tasks[kText], scattered, readers_[kText]->sample(kLong), key, random);
    for (const std::int64_t row : batch.slices[0].masked_rows)
      found.insert(batch.tokens[static_cast<std::size_t>(row)]);
  }
  EXPECT_EQ(found.size(), 35U);
  for (const std::int64_t special : {7, 39, 2, 3, 20}) EXPECT_FALSE(found.contains(special)) << special;
  EXPECT_TRUE(found.contains(0));
  EXPECT_TRUE(found.contains(38));
}

TEST_F(Packing, Errors) {
  const auto fails = [](const TaskInfo& info, const TokenizerInfo& tokenizer, std::uint64_t sample, Exit code,
                        const std::string& part) {
    MaskingOptions random;
    random.share = 1, random.mask = 0, random.random = 1;
    Batch batch;
    try {
      append(batch, kText, info, tokenizer, readers_[kText]->sample(sample), 1, random);
      ADD_FAILURE() << "no error; expected one with '" << part << "'";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  TaskInfo info = manifest_.tasks[kText];
  fails(info, manifest_.tokenizer, 99, Exit::internal, "99");
  TokenizerInfo tiny = manifest_.tokenizer;
  tiny.vocab_size = 5;
  fails(info, tiny, 0, Exit::data, "all of them special");
}

TEST(EvaluationKey, IsOfTaskSplitAndSampleAndKeepsItsValue) {
  EXPECT_EQ(evaluation_key("a", "valid", 3), evaluation_key("a", "valid", 3));
  std::set<std::uint64_t> keys;
  for (const char* task : {"a", "b", "valid"})
    for (const char* split : {"valid", "test"})
      for (std::uint64_t sample = 0; sample < 100; ++sample) keys.insert(evaluation_key(task, split, sample));
  EXPECT_EQ(keys.size(), 600U);
  // Perplexities of different versions compare.
  EXPECT_EQ(evaluation_key("descriptions", "valid", 7), 0x5fb4c9cae788ee3aULL);
}

TEST(EvaluationSamples, AreFixedSpreadAndNested) {
  const auto some = evaluation_samples("task", "valid", 1200, 500),
             more = evaluation_samples("task", "valid", 1200, 700);
  EXPECT_EQ(some.size(), 500U);
  EXPECT_TRUE(std::ranges::is_sorted(some));
  EXPECT_EQ(std::ranges::adjacent_find(some), some.end());
  EXPECT_LT(some.back(), 1200U);
  EXPECT_NEAR(static_cast<double>(std::ranges::count_if(some, [](std::uint64_t i) { return i < 600; })), 250, 50);
  EXPECT_TRUE(std::ranges::includes(more, some));
  EXPECT_EQ(some, evaluation_samples("task", "valid", 1200, 500));
  EXPECT_NE(some, evaluation_samples("other", "valid", 1200, 500));
  for (const std::uint64_t at_most : {0U, 7U, 8U}) {  // all, in their order
    const auto all = evaluation_samples("task", "valid", 7, at_most);
    EXPECT_EQ(all, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6}));
  }
  EXPECT_TRUE(evaluation_samples("task", "valid", 0, 5).empty());
}

}  // namespace
}  // namespace polyhead
