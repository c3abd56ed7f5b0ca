// Percentiles and bins of lengths against values that were computed by hand; samples are spread over the split.
#include "datasets/inspect.h"

#include <numeric>

#include "datasets/shard_writer.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

TEST(InspectLengths, PercentilesAndBins) {
  std::vector<std::uint64_t> lengths;
  for (std::uint64_t i = 100; i >= 1; --i) lengths.push_back(i);
  Lengths found = summarize_lengths(lengths, 10);
  EXPECT_EQ(found.min, 1U);
  EXPECT_EQ(found.median, 50U);
  EXPECT_EQ(found.p90, 90U);
  EXPECT_EQ(found.p99, 99U);
  EXPECT_EQ(found.max, 100U);
  EXPECT_DOUBLE_EQ(found.mean, 50.5);
  EXPECT_EQ(found.bins, std::vector<std::uint64_t>(10, 10));

  lengths = {7, 5, 5, 7, 7};
  found = summarize_lengths(lengths, 40);
  EXPECT_EQ(found.bins, (std::vector<std::uint64_t>{2, 0, 3}));
  EXPECT_EQ(found.median, 7U);
  lengths = {3};
  found = summarize_lengths(lengths, 40);
  EXPECT_EQ(found.bins, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(found.p99, 3U);
  lengths.clear();
  EXPECT_TRUE(summarize_lengths(lengths, 40).bins.empty());
}

class Numerals : public Tokenizer {
 public:
  std::vector<std::int64_t> encode(std::string_view) const override { return {}; }
  EncodedText encode_with_characters(std::string_view) const override { return {}; }
  std::string decode(std::span<const std::int64_t> ids) const override {
    std::string out;
    for (const std::int64_t id : ids) out += std::to_string(id);
    return out;
  }
  std::string piece(std::int64_t id) const override { return std::to_string(id); }
};

class InspectSplit : public FolderTest {};

TEST_F(InspectSplit, LooksAtSamplesEvenlySpread) {
  ShardContent c;
  c.task = "t", c.split = "train", c.kind = Kind::classification, c.vocab_size = 200;
  for (std::uint32_t i = 0; i < 100; ++i) {
    c.input.push(std::vector<std::uint32_t>{i});
    c.label.push_back(i % 10 == 0 ? 2U : 0U);
    c.second.push_back(0);
  }
  write_shard(folder_ / "0.h5", c);
  Manifest m;
  m.tokenizer.vocab_size = 200;
  TaskInfo task;
  task.name = "t", task.labels = {"a", "b", "c"};
  task.splits["train"].samples = 100;
  task.splits["train"].shards = {{"0.h5", 100, 0, ""}};
  m.tasks = {task};
  const SplitReader reader(folder_, m, task, "train");
  SplitSummary all = inspect_split(reader, task, Numerals(), 1000, 3);
  EXPECT_EQ(all.samples, 100U);
  EXPECT_EQ(all.looked_at, 100U);
  EXPECT_EQ(all.labels, (std::vector<std::pair<std::string, std::uint64_t>>{{"a", 90}, {"c", 10}, {"b", 0}}));
  ASSERT_EQ(all.texts.size(), 3U);
  EXPECT_EQ(all.texts[1].index, 33U);
  EXPECT_EQ(all.texts[1].input, "33");
  EXPECT_EQ(all.texts[0].target, "c");
  const SplitSummary tenth = inspect_split(reader, task, Numerals(), 10, 0);
  EXPECT_EQ(tenth.looked_at, 10U);
  EXPECT_EQ(tenth.labels.front(), (std::pair<std::string, std::uint64_t>{"c", 10}));  // every tenth sample
}

}  // namespace
}  // namespace polyhead
