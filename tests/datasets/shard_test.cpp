// Shards of every kind through write_shard and SplitReader. tests/python/data/shards_test.py reads and writes shards
// with h5py, and tests broken ones.
#include "datasets/shard.h"
#include "datasets/shard_writer.h"

#include <cstring>
#include <fstream>
#include <thread>

#include "core/base/batch.h"
#include "core/base/files.h"
#include "datasets/dataset.h"
#include "datasets/hdf5.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

class ShardTest : public FolderTest {
 protected:
  // Sequences {2, 5, 3}, {2, 6, 7, 3} and {2, 3}.
  static ShardContent content(Kind kind) {
    ShardContent c;
    c.task = "t";
    c.split = "train";
    c.kind = kind;
    c.vocab_size = 10;
    c.input.values = {2, 5, 3, 2, 6, 7, 3, 2, 3};
    c.input.offsets = {0, 3, 7, 9};
    return c;
  }
  Manifest manifest(const ShardContent& c, std::vector<std::string> labels = {}) const {
    Manifest m;
    m.tokenizer.vocab_size = static_cast<std::int64_t>(c.vocab_size);
    TaskInfo task;
    task.name = c.task;
    task.kind = c.kind;
    task.labels = std::move(labels);
    task.splits[c.split].samples = c.samples();
    task.splits[c.split].shards = {
        {"0.h5", c.samples(), std::filesystem::file_size(folder_ / "0.h5"), sha256_file(folder_ / "0.h5")}};
    m.tasks = {task};
    return m;
  }
  SplitReader open(const Manifest& m, const ReadOptions& options = {}) const {
    return {folder_, m, m.tasks[0], m.tasks[0].splits.begin()->first, options};
  }
};

std::vector<std::int64_t> input_of(const SplitReader& reader, std::uint64_t sample) {
  std::vector<std::int64_t> out;
  reader.sample(sample).input_tokens(out);
  return out;
}

TEST_F(ShardTest, ClassificationWithSecondTexts) {
  ShardContent c = content(Kind::classification);
  c.label = {1, 0, 1};
  c.second = {0, 2, 1};
  write_shard(folder_ / "0.h5", c);
  const Manifest m = manifest(c, {"p", "q"});
  const SplitReader reader = open(m);
  ASSERT_EQ(reader.size(), 3U);
  EXPECT_EQ(input_of(reader, 0), (std::vector<std::int64_t>{2, 5, 3}));
  EXPECT_EQ(input_of(reader, 1), (std::vector<std::int64_t>{2, 6, 7, 3}));
  EXPECT_EQ(input_of(reader, 2), (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(reader.sample(1).input_length(), 4U);
  EXPECT_EQ(reader.sample(1).target_length(), 0U);
  EXPECT_EQ(reader.sample(0).label(), 1);
  EXPECT_EQ(reader.sample(1).label(), 0);
  EXPECT_EQ(reader.sample(1).second(), 2U);
  EXPECT_EQ(reader.sample(1).input_text(), std::nullopt);
  expect_error(Exit::internal, {"sample 3", "split of 3"}, [&] { reader.sample(3).label(); });
}

TEST_F(ShardTest, MultilabelAndRegression) {
  ShardContent c = content(Kind::multilabel);
  c.width = 2;
  c.labels = {1, 0, 0, 0, 1, 1};
  write_shard(folder_ / "0.h5", c);
  {
    const Manifest m = manifest(c, {"p", "q"});
    const SplitReader reader = open(m);
    std::vector<std::int64_t> labels;
    reader.sample(0).labels(labels);
    reader.sample(2).labels(labels);
    EXPECT_EQ(labels, (std::vector<std::int64_t>{1, 0, 1, 1}));
    EXPECT_EQ(reader.sample(0).label(), kIgnore);
  }
  c = content(Kind::regression);
  c.value = {0.5F, -1, 2};
  write_shard(folder_ / "0.h5", c);
  const Manifest m = manifest(c);
  std::vector<double> values;
  open(m).sample(1).values(values);
  EXPECT_EQ(values, (std::vector<double>{-1}));
}

TEST_F(ShardTest, TaggingAndTranslationWithTexts) {
  ShardContent c = content(Kind::tagging);
  c.tags = {kNotScored, 1, kNotScored, kNotScored, 0, kNotScored, kNotScored, kNotScored, kNotScored};
  c.input_text.emplace();
  c.target_text.emplace();
  for (const std::string text : {"fünf", "", "x y"}) c.input_text->push(text), c.target_text->push(text + "!");
  write_shard(folder_ / "0.h5", c);
  {
    const Manifest m = manifest(c, {"p", "q"});
    const SplitReader reader = open(m);
    std::vector<std::int64_t> tags;
    reader.sample(1).tags(tags);
    EXPECT_EQ(tags, (std::vector<std::int64_t>{kIgnore, 0, kIgnore, kIgnore}));
    EXPECT_EQ(reader.sample(0).input_text(), "fünf");
    EXPECT_EQ(reader.sample(1).input_text(), "");
    EXPECT_EQ(reader.sample(2).target_text(), "x y!");
  }
  c = content(Kind::translation);
  c.vocab_size = 100'000;  // u32 tokens
  c.input.values[1] = 99'999;
  c.target.values = {5, 3, 3, 70'000, 3};
  c.target.offsets = {0, 2, 3, 5};
  write_shard(folder_ / "0.h5", c);
  const Manifest m = manifest(c);
  const SplitReader reader = open(m);
  std::vector<std::int64_t> target;
  reader.sample(2).target_tokens(target);
  EXPECT_EQ(target, (std::vector<std::int64_t>{70'000, 3}));
  EXPECT_EQ(reader.sample(0).target_length(), 2U);
  EXPECT_EQ(input_of(reader, 0)[1], 99'999);
  EXPECT_EQ(reader.sample(0).target_text(), std::nullopt);
}

TEST_F(ShardTest, SameContentSameBytes) {
  ShardContent c = content(Kind::classification);
  c.label = {1, 0, 1};
  write_shard(folder_ / "a", c);
  write_shard(folder_ / "b", c);
  EXPECT_EQ(read_file(folder_ / "a"), read_file(folder_ / "b"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);  // no .tmp
}

TEST_F(ShardTest, ChecksumsCoverEveryBlock) {
  ShardContent c = content(Kind::masked_lm);
  c.input = {};
  c.input.values.assign(kIntegrityBlock + 5, 7);  // u16: two blocks and a rest
  c.input.offsets = {0, c.input.values.size()};
  write_shard(folder_ / "0.h5", c);
  Manifest m = manifest(c);
  EXPECT_EQ(open(m).sample(0).input_length(), kIntegrityBlock + 5);
  std::string bytes = read_file(folder_ / "0.h5");
  const std::size_t at = bytes.find(std::string("\x07\0\x07\0\x07\0\x07\0", 8));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 2 * kIntegrityBlock + 4] = 6;
  write_file_atomically(folder_ / "0.h5", bytes);
  m.tasks[0].splits["train"].shards[0].sha256.clear();
  const std::vector<std::string> said = {"0.h5", "/input/tokens differs from its checksum in block 2"};
  expect_error(Exit::data, said, [&] { input_of(open(m), 0); });
  expect_error(Exit::data, said, [&] { input_of(open(m, {Access::pread, Verify::blocks, FilePool::shared()}), 0); });
  expect_error(Exit::data, said, [&] { open(m, {Access::map, Verify::open, FilePool::shared()}); });
  EXPECT_EQ(input_of(open(m, {Access::map, Verify::off, FilePool::shared()}), 0).size(), kIntegrityBlock + 5);
}

TEST_F(ShardTest, SeveralShardsAreOneSplit) {
  ShardContent c = content(Kind::masked_lm);
  write_shard(folder_ / "0.h5", c);
  Manifest m = manifest(c);
  c.input = {};
  write_shard(folder_ / "empty.h5", c);
  c.input.push(std::vector<std::uint32_t>{2, 8, 3});
  write_shard(folder_ / "1.h5", c);
  auto& shards = m.tasks[0].splits["train"].shards;
  shards.push_back({"empty.h5", 0, 0, ""});
  shards.push_back({"1.h5", 1, 0, ""});
  const SplitReader reader = open(m);
  EXPECT_EQ(reader.size(), 4U);
  EXPECT_EQ(input_of(reader, 2), (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(input_of(reader, 3), (std::vector<std::int64_t>{2, 8, 3}));
  std::vector<std::thread> threads;  // readers are thread-safe: tsan looks on
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < 400; ++i) EXPECT_EQ(input_of(reader, i % 4).back(), 3);
    });
  for (std::thread& one : threads) one.join();
}

// Every way of reading gives the same rows, and a pool bounds what is open.
TEST_F(ShardTest, APoolBoundsTheFilesThatAreOpen) {
  constexpr std::uint64_t kShards = 2000, kContents = 6, kThreads = 3;
  ShardContent c = content(Kind::masked_lm);
  Manifest m;
  for (std::uint64_t i = 0; i < kShards; ++i) {
    const std::string name = std::to_string(i) + ".h5";
    if (i < kContents) {
      c.input = {};
      c.input.push(std::vector<std::uint32_t>{2, 4 + static_cast<std::uint32_t>(i), 3});
      write_shard(folder_ / name, c);
    } else {
      std::filesystem::copy_file(folder_ / (std::to_string(i % kContents) + ".h5"), folder_ / name);
    }
    if (i == 0) m = manifest(c);
    if (i > 0) m.tasks[0].splits["train"].shards.push_back({name, 1, 0, ""});
  }
  const auto check = [](const SplitReader& reader, std::uint64_t sample) {
    const auto id = static_cast<std::int64_t>(4 + sample % kContents);
    EXPECT_EQ(input_of(reader, sample), (std::vector<std::int64_t>{2, id, 3}));
  };
  const auto count_open = [&] {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code none;
      files += std::filesystem::read_symlink(entry.path(), none).extension() == ".h5";
    }
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) files += line.ends_with(".h5");
    return files;
  };
  for (const Access access : {Access::map, Access::pread}) {
    const SplitReader reader = open(m, {access, Verify::blocks, std::make_shared<FilePool>(8)});
    EXPECT_LE(count_open(), 1U);  // opening leaves nothing open; a thread holds what it read last
    std::size_t most = 0;
    for (std::uint64_t i = 0; i < 2 * kShards; ++i) {
      check(reader, i * 7 % kShards);
      if (i % 50 == 0) most = std::max(most, count_open());
    }
    EXPECT_GE(most, 4U);
    EXPECT_LE(most, 9U);  // one more while the newest replaces the oldest
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (std::uint64_t t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        for (std::uint64_t i = 0; i < kShards; ++i) check(reader, i * (7 + 4 * t) % kShards);
      });
    for (std::thread& one : threads) one.join();
    EXPECT_LE(count_open(), 9U);
  }
  const SplitReader reader = open(m, {Access::map, Verify::blocks, std::make_shared<FilePool>(8)});
  for (std::uint64_t i = 0; i < 100; ++i) check(reader, i);
  std::filesystem::resize_file(folder_ / "300.h5", 900);
  expect_error(Exit::data, {"300.h5", "another program changes it"}, [&] { input_of(reader, 300); });
  std::filesystem::last_write_time(folder_ / "301.h5", std::filesystem::file_time_type::clock::now());
  expect_error(Exit::data, {"301.h5", "no sha256", "verify --rehash"}, [&] { input_of(reader, 301); });
}

// Opening looks at no row: damage is found when its block is touched, and not before.
TEST_F(ShardTest, ABlockIsCheckedWhenItIsTouched) {
  ShardContent c = content(Kind::masked_lm);
  c.input = {};
  c.input.values.assign(kIntegrityBlock, 7);  // u16: two blocks
  const std::uint64_t half = kIntegrityBlock / 2, first = half - 10;
  c.input.offsets = {0, first, half + 10, 2 * half};  // the second sequence lies in both
  write_shard(folder_ / "0.h5", c);
  Manifest m = manifest(c);
  m.tasks[0].splits["train"].shards[0].sha256.clear();
  const std::string whole = read_file(folder_ / "0.h5");
  const std::size_t tokens = whole.find(std::string("\x07\0\x07\0\x07\0\x07\0", 8));
  std::string offset(sizeof first, '\0');
  std::memcpy(offset.data(), &first, sizeof first);
  const std::size_t offsets = whole.find(offset);
  ASSERT_NE(tokens, std::string::npos);
  ASSERT_NE(offsets, std::string::npos);
  for (const Access access : {Access::map, Access::pread}) {
    const ReadOptions options = {access, Verify::blocks, FilePool::shared()};
    std::string bytes = whole;
    bytes[tokens + 2 * kIntegrityBlock - 2] = 6;  // an id as good as any
    write_file_atomically(folder_ / "0.h5", bytes);
    {
      const SplitReader reader = open(m, options);
      EXPECT_EQ(input_of(reader, 0).size(), first);
      for (const std::uint64_t sample : {1, 2, 2})
        expect_error(Exit::data, {"0.h5", "/input/tokens differs from its checksum in block 1"},
                     [&] { input_of(reader, sample); });
    }
    bytes = whole;
    bytes[offsets + 5] = 1;  // far behind the end
    write_file_atomically(folder_ / "0.h5", bytes);
    for (const Verify verify : {Verify::blocks, Verify::off}) {
      const SplitReader reader = open(m, {access, verify, FilePool::shared()});
      expect_error(Exit::data, {"0.h5", "/input/offsets", verify == Verify::off ? "decreases at sample 1" : "block 0"},
                   [&] { reader.sample(0).input_length(); });
    }
  }
}

TEST_F(ShardTest, PreadReadsWhatAMapReads) {
  ShardContent c = content(Kind::translation);
  c.target.values = {5, 3, 3, 7, 3};
  c.target.offsets = {0, 2, 3, 5};
  write_shard(folder_ / "0.h5", c);
  const Manifest m = manifest(c);
  const SplitReader mapped = open(m, {Access::map, Verify::blocks, FilePool::shared()}),
                    read = open(m, {Access::pread, Verify::blocks, FilePool::shared()});
  for (std::uint64_t i = 0; i < 3; ++i) {
    read.prefetch_place(i);
    read.sample(i).prefetch();
    std::vector<std::int64_t> a, b;
    mapped.sample(i).target_tokens(a), read.sample(i).target_tokens(b);
    EXPECT_EQ(a, b);
    EXPECT_EQ(input_of(mapped, i), input_of(read, i));
  }
}

TEST_F(ShardTest, AWholeShardIsChecked) {
  ShardContent c = content(Kind::classification);
  c.label = {1, 0, 1};
  c.second = {0, 2, 1};
  write_shard(folder_ / "0.h5", c);
  ShardExpectation expected;
  expected.task = "t";
  expected.split = "train";
  expected.vocab_size = 10;
  expected.classes = 2;
  expected.info.samples = 3;
  check_shard(folder_ / "0.h5", expected);
  c.second = {0, 2, 2};  // behind its sequence {2, 3}
  write_shard(folder_ / "0.h5", c);
  expect_error(Exit::data, {"0.h5", "/input/second of sample 2"}, [&] { check_shard(folder_ / "0.h5", expected); });
}

TEST_F(ShardTest, NamesAMissingSplitAndReadsAnEmptyOne) {
  ShardContent c = content(Kind::masked_lm);
  c.input = {};
  write_shard(folder_ / "0.h5", c);
  const Manifest m = manifest(c);
  EXPECT_EQ(open(m).size(), 0U);
  expect_error(Exit::data, {"task 't'", "no split 'valid'", "valid = FILE"},
               [&] { SplitReader(folder_, m, m.tasks[0], "valid"); });
}

TEST_F(ShardTest, SaysWhenItCannotBeWritten) {
  expect_error(Exit::cannot_write, {"cannot write the shard", "none/0.h5", "No such file"},
               [&] { write_shard(folder_ / "none" / "0.h5", content(Kind::masked_lm)); });
}

TEST_F(ShardTest, Hdf5ErrorsCarryTheCallAndTheReason) {
  const hdf5::Session session;
  expect_error(Exit::data, {"H5Fopen", "shard_test.cpp", "No such file"},
               [&] { POLYHEAD_HDF5(H5Fopen((folder_ / "none").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)); });
}

// The check of links comes before; this holds even behind it.
TEST_F(ShardTest, NoLinkLeadsToAnotherFile) {
  for (const char* name : {"0.h5", "1.h5"}) write_shard(folder_ / name, content(Kind::masked_lm));
  const hdf5::Session session;
  {
    const hdf5::Handle file(POLYHEAD_HDF5(H5Fopen((folder_ / "0.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT)), H5Fclose);
    POLYHEAD_HDF5(H5Lcreate_external("1.h5", "/input/tokens", file, "/input/elsewhere", H5P_DEFAULT, H5P_DEFAULT));
    const hdf5::Handle followed(POLYHEAD_HDF5(H5Dopen2(file, "/input/elsewhere", H5P_DEFAULT)), H5Dclose);
  }
  const hdf5::Handle file = hdf5::open_file(folder_ / "0.h5");
  hdf5::open_dataset(file, "input/tokens");
  expect_error(Exit::data, {"H5Dopen2"}, [&] { hdf5::open_dataset(file, "input/elsewhere"); });
}

}  // namespace
}  // namespace polyhead
