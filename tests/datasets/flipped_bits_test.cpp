// Flips single bits in shards of every kind. Each flip is detected, or does not change the content.
#include <cstdlib>
#include <fstream>
#include <random>

#include <fmt/format.h>

#include "core/base/child_process.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "datasets/dataset.h"
#include "datasets/shard_writer.h"
#include "datasets/verify.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

constexpr std::uint64_t kVocab = 60, kClasses = 3, kSamples = 12;

class FlippedBits : public FolderTest {
 protected:
  // Random content of a kind with every optional part.
  static ShardContent content(Kind kind) {
    std::mt19937 random(7);
    const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
    ShardContent c;
    c.task = "t", c.split = "train", c.kind = kind, c.vocab_size = kVocab;
    c.width = kind == Kind::multilabel ? kClasses : 2;
    c.input_text.emplace();
    if (kind == Kind::tagging || kind == Kind::translation || kind == Kind::span) c.target_text.emplace();
    for (std::uint64_t i = 0; i < kSamples; ++i) {
      std::vector<std::uint32_t> tokens(3 + below(6)), target(1 + below(6));
      for (auto& id : tokens) id = below(kVocab);
      for (auto& id : target) id = below(kVocab);
      c.input.push(tokens);
      c.target.push(target);
      c.second.push_back(below(3));
      c.input_text->push(fmt::format("text {} of a sample", below(1000)));
      if (c.target_text) c.target_text->push(fmt::format("ziel {}", below(1000)));
      c.label.push_back(below(kClasses));
      for (std::uint64_t k = 0; k < c.width; ++k) {
        c.labels.push_back(static_cast<std::uint8_t>(below(2)));
        c.value.push_back(static_cast<float>(below(1000)) / 8);
      }
      for (std::size_t k = 0; k < tokens.size(); ++k)
        c.tags.push_back(static_cast<std::uint16_t>(below(2) == 0 ? 65535U : below(kClasses)));
      if (kind != Kind::span) continue;
      c.second.back() = 1;
      c.span.insert(c.span.end(), {1, 1 + below(static_cast<std::uint32_t>(tokens.size()) - 2)});
      for (std::uint32_t k = 0; k < tokens.size(); ++k) c.characters.insert(c.characters.end(), {k, k + 1});
    }
    return c;
  }

  Manifest manifest(Kind kind, const std::string& file, bool stated) const {
    Manifest m;
    m.tokenizer.vocab_size = kVocab;
    TaskInfo task;
    task.name = "t", task.kind = kind;
    if (kind == Kind::classification || kind == Kind::multilabel || kind == Kind::tagging)
      task.labels = {"a", "b", "c"};
    if (kind == Kind::regression) task.outputs = {"x", "y"};
    ShardInfo info{file, kSamples, 0, ""};
    if (stated) info.bytes = std::filesystem::file_size(folder_ / file), info.sha256 = sha256_file(folder_ / file);
    task.splits["train"].samples = kSamples;
    task.splits["train"].shards = {info};
    m.tasks = {task};
    return m;
  }

  // xxh3-64 of everything that a reader tells.
  std::uint64_t meaning(const Manifest& m) const {
    const SplitReader reader(folder_, m, m.tasks[0], "train");
    std::string all;
    for (std::uint64_t i = 0; i < reader.size(); ++i) {
      const StoredSample sample = reader.sample(i);
      std::vector<std::int64_t> numbers;
      std::vector<double> values;
      for (const auto read :
           {&StoredSample::input_tokens, &StoredSample::target_tokens, &StoredSample::tags, &StoredSample::labels}) {
        (sample.*read)(numbers);
        numbers.push_back(-1);
      }
      numbers.push_back(sample.label());
      const auto [first, last] = sample.span();
      numbers.insert(numbers.end(), {static_cast<std::int64_t>(first), static_cast<std::int64_t>(last)});
      numbers.push_back(static_cast<std::int64_t>(sample.second()));
      sample.values(values);
      all.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(std::int64_t));
      all.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
      all += sample.input_text().value_or("none") + '\0' + sample.target_text().value_or("none") + '\0';
    }
    return hash_bytes(all);
  }

  void check(const std::filesystem::path& file, const Manifest& m) const {
    verify_shard(file, shard_expectation(m, m.tasks[0], "train", m.tasks[0].splits.at("train").shards[0]), m.tokenizer);
  }
};

void flip(const std::filesystem::path& file, const std::string& bytes, std::uint64_t bit) {
  std::string changed = bytes;
  changed[bit / 8] = static_cast<char>(static_cast<unsigned char>(changed[bit / 8]) ^ (1U << (bit % 8)));
  std::ofstream(file, std::ios::binary) << changed;
}

// 500 flips at random, over the whole file; the manifest's SHA-256 finds each before the file is parsed.
TEST_F(FlippedBits, EveryOneIsFoundByTheManifest) {
  std::mt19937_64 random(11);
  write_shard(folder_ / "whole.h5", content(Kind::translation));
  const Manifest m = manifest(Kind::translation, "whole.h5", true);
  const std::string bytes = read_file(folder_ / "whole.h5");
  check(folder_ / "whole.h5", m);
  for (int i = 0; i < 500; ++i) {
    flip(folder_ / "flipped.h5", bytes, random() % (8 * bytes.size()));
    expect_error(Exit::data, {"its SHA-256 is not the manifest's"}, [&] { check(folder_ / "flipped.h5", m); });
  }
}

// Without sizes and SHA-256: the format's own checksums and rules find a flip, or the reader tells the same. In
// children, as HDF5 may crash, which is a fault to `polyhead verify` too.
TEST_F(FlippedBits, EveryOneIsFoundByTheShardItselfOrChangesNothing) {
  constexpr std::uint64_t kStride = 31, kRandom = 100;  // a bit of every 31st byte, so of every structure; and any
  std::size_t found = 0, harmless = 0, crashed = 0, flips = 0;
  for (std::size_t k = 0; k < kKindNames.size(); ++k) {
    const Kind kind = static_cast<Kind>(k);
    write_shard(folder_ / "whole.h5", content(kind));
    const std::string bytes = read_file(folder_ / "whole.h5");
    const std::uint64_t whole = meaning(manifest(kind, "whole.h5", false));
    std::mt19937_64 random(k);
    std::vector<std::uint64_t> bits;
    for (std::uint64_t at = 0; at < bytes.size(); at += kStride) bits.push_back(8 * at + random() % 8);
    for (std::uint64_t i = 0; i < kRandom; ++i) bits.push_back(random() % (8 * bytes.size()));
    flips += bits.size();
    const auto job = [&](std::size_t i) -> std::string {
      const std::string file = fmt::format("{}.h5", i);
      flip(folder_ / file, bytes, bits[i]);
      const Manifest m = manifest(kind, file, false);
      std::string result = "another meaning";
      try {
        check(folder_ / file, m);
        if (meaning(m) == whole) result = "harmless";
      } catch (const Error& error) {
        result = error.code() == Exit::data && std::string_view(error.what()).find(file) != std::string_view::npos
                     ? "found"
                     : error.what();
      }
      std::filesystem::remove(folder_ / file);
      return result;
    };
    run_children(
        bits.size(), 1, [](std::size_t) { return ChildLimits{.memory_bytes = 2ULL << 30, .cpu_seconds = 20}; }, job,
        [&](std::size_t i, const ChildResult& result) {
          found += result.output == "found";
          harmless += result.output == "harmless";
          crashed += !result.ended.empty();
          EXPECT_TRUE(!result.ended.empty() || result.output == "found" || result.output == "harmless")
              << kKindNames[k] << ", bit " << bits[i] << ": " << result.output;
        });
  }
  RecordProperty("flips", static_cast<int>(flips));
  std::printf("%zu flips: %zu found, %zu harmless, %zu crashed HDF5\n", flips, found, harmless, crashed);
  EXPECT_GT(flips, 1000U);
  EXPECT_GT(found, flips / 3);
}

}  // namespace
}  // namespace polyhead
