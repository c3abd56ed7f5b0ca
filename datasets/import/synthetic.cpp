// Synthetic tasks: invented words of syllables, and one rule per task.
#include "datasets/import/synthetic.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"

namespace polyhead {
namespace {

// The random draws of a sample, in sequence.
class Random {
 public:
  explicit Random(std::uint64_t key, std::uint64_t sample = 0) : sample(sample), key_(key) {}
  const std::uint64_t sample;  // index in its split; labels rotate by it, so that a few samples have all labels
  std::uint32_t below(std::size_t n) { return bounded(draw(key_, counter_++), static_cast<std::uint32_t>(n)); }
  std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }
  double unit() { return polyhead::unit(draw(key_, counter_++)); }

 private:
  std::uint64_t key_, counter_ = 0;
};

using Words = std::vector<std::string>;

// Returns different words of two or three syllables, each with `ending` appended.
Words invent(Random& random, std::size_t count, std::string_view consonants, std::string_view ending,
             std::set<std::string>& taken) {
  Words words;
  while (words.size() < count) {
    std::string word;
    for (std::size_t syllables = random.between(2, 3); syllables > 0; --syllables) {
      word += consonants[random.below(consonants.size())];
      word += "aeiou"[random.below(5)];
    }
    word += ending;
    if (taken.insert(word).second) words.push_back(word);
  }
  return words;
}

std::string joined(const Words& words, std::string_view between = " ") {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += between;
    text += word;
  }
  return text;
}

void shuffle(Words& words, Random& random) {
  for (std::size_t i = words.size(); i > 1; --i) std::swap(words[i - 1], words[random.below(i)]);
}

class World {
 public:
  explicit World(std::uint64_t seed) {
    Random random(derive(seed, hash_bytes("words")));
    std::set<std::string> taken;
    common_ = invent(random, 240, "bdfgklmnprstv", "", taken);
    foreign_ = invent(random, kDictionary, "chjqwxyz", "n", taken);
    for (Words& keys : topics_) keys = invent(random, 6, "bdfgklmnprstv", "", taken);
    for (Words& markers : styles_) markers = invent(random, 6, "bdfgklmnprstv", "", taken);
    for (std::size_t from = 0; from < kChain; ++from)
      for (std::size_t& next : chain_[from]) next = random.below(kChain);
  }

  // The label is the class of the two or three key words among words without a class.
  std::string topic(Random& random) const {
    const std::size_t label = random.sample % kTopics.size();
    Words text = noise(random, random.between(4, 10));
    for (std::size_t n = random.between(2, 3); n > 0; --n) text.push_back(topics_[label][random.below(6)]);
    shuffle(text, random);
    return fmt::format(R"({{"text": "{}", "label": "{}"}})", joined(text), kTopics[label]);
  }

  // The text has words of both styles; the label is the style of the majority.
  std::string style(Random& random) const {
    const std::size_t label = random.sample % 2, fewer = random.below(2);
    Words text = noise(random, random.between(3, 8));
    for (std::size_t n = fewer + random.between(1, 2); n > 0; --n) text.push_back(styles_[label][random.below(6)]);
    for (std::size_t n = fewer; n > 0; --n) text.push_back(styles_[1 - label][random.below(6)]);
    shuffle(text, random);
    return fmt::format(R"({{"text": "{}", "label": "{}"}})", joined(text), label == 0 ? "plain" : "ornate");
  }

  // The tag of a word depends on its last letter, and after 'u' also on the previous word.
  std::string tags(Random& random) const {
    const Words text = noise(random, random.between(4, 10));
    Words tags;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char last = text[i].back();
      const bool after_name = i > 0 && text[i - 1].back() == 'a';
      tags.emplace_back(last == 'a'   ? "NAME"
                        : last == 'e' ? "DEED"
                        : last == 'i' ? "TRAIT"
                        : last == 'o' ? "PLACE"
                        : after_name  ? "OWNED"
                                      : "FREE");
    }
    return fmt::format(R"({{"words": ["{}"], "tags": ["{}"]}})", joined(text, R"(", ")"), joined(tags, R"(", ")"));
  }

  // Translates word by word with a dictionary, and swaps each pair of words.
  std::string dictionary(Random& random) const {
    Words text, target;
    for (std::size_t n = random.between(3, 6); n > 0; --n) {
      const std::size_t word = random.below(kDictionary);
      text.push_back(common_[word]);
      target.push_back(foreign_[word]);
    }
    for (std::size_t i = 0; i + 1 < target.size(); i += 2) std::swap(target[i], target[i + 1]);
    return fmt::format(R"({{"text": "{}", "target": "{}"}})", joined(text), joined(target));
  }

  // A Markov chain: each word is followed by one of three words, with probabilities 0.7, 0.2 and 0.1.
  std::string lines(Random& random) const {
    Words text;
    std::size_t at = random.below(kChain);
    for (std::size_t n = random.between(6, 14); n > 0; --n) {
      text.push_back(common_[at]);
      const double u = random.unit();
      at = chain_[at][u < 0.7 ? 0 : u < 0.9 ? 1 : 2];
    }
    return fmt::format(R"({{"text": "{}"}})", joined(text));
  }

  // The text has key words of any number of classes of `topic`; these classes are the labels.
  std::string subjects(Random& random) const {
    std::array<bool, kTopics.size()> has{};
    if (random.sample < kTopics.size()) has[random.sample] = true;
    for (std::size_t n = random.below(4); n > 0; --n) has[random.below(kTopics.size())] = true;
    Words text = noise(random, random.between(3, 6)), labels;
    for (std::size_t topic = 0; topic < kTopics.size(); ++topic) {
      if (!has[topic]) continue;
      labels.emplace_back(kTopics[topic]);
      for (std::size_t n = random.between(1, 2); n > 0; --n) text.push_back(topics_[topic][random.below(6)]);
    }
    shuffle(text, random);
    if (labels.empty()) return fmt::format(R"({{"text": "{}", "labels": []}})", joined(text));
    return fmt::format(R"({{"text": "{}", "labels": ["{}"]}})", joined(text), joined(labels, R"(", ")"));
  }

  // The value is 200 + 15 (number of ornate words - number of plain words).
  std::string ornament(Random& random) const {
    Words text = noise(random, random.between(2, 5));
    const std::size_t plain = random.below(4), ornate = random.below(4);
    for (std::size_t n = plain; n > 0; --n) text.push_back(styles_[0][random.below(6)]);
    for (std::size_t n = ornate; n > 0; --n) text.push_back(styles_[1][random.below(6)]);
    shuffle(text, random);
    return fmt::format(R"({{"text": "{}", "value": {}}})", joined(text), 200 + 15 * ornate - 15 * plain);
  }

  // The two texts have key words of different classes; the label is the class of the second text.
  std::string reply(Random& random) const {
    const std::size_t label = random.sample % kTopics.size();
    const std::size_t other = (label + random.between(1, kTopics.size() - 1)) % kTopics.size();
    Words texts[2];
    for (const std::size_t i : {0U, 1U}) {
      texts[i] = noise(random, random.between(1, 3));
      for (std::size_t n = 2; n > 0; --n) texts[i].push_back(topics_[i == 0 ? other : label][random.below(6)]);
      shuffle(texts[i], random);
    }
    return fmt::format(R"({{"text": "{}", "second": "{}", "label": "{}"}})", joined(texts[0]), joined(texts[1]),
                       kTopics[label]);
  }

  // The question names a class; the answer is the one or two key words of this class, which stand together among words
  // without a class and a key word of another one.
  std::string answer(Random& random) const {
    const std::size_t topic = random.sample % kTopics.size();
    const std::size_t other = (topic + random.between(1, kTopics.size() - 1)) % kTopics.size();
    Words parts = noise(random, random.between(4, 8));
    parts.push_back(topics_[other][random.below(6)]);
    std::string answer = topics_[topic][random.below(6)];
    if (random.below(2) > 0) answer += " " + topics_[topic][random.below(6)];
    parts.push_back(answer);
    shuffle(parts, random);
    std::size_t start = 0;
    for (auto part = parts.begin(); *part != answer; ++part) start += part->size() + 1;
    return fmt::format(R"({{"question": "{}", "text": "{}", "start": {}, "end": {}}})", kTopics[topic], joined(parts),
                       start, start + answer.size());
  }

  // Vectors of noise, one of which points in the direction of the label.
  std::string wind(Random& random) const {
    constexpr std::array<std::string_view, 4> kWinds = {"north", "east", "south", "west"};
    const std::size_t label = random.sample % kWinds.size(), length = random.between(3, 7), at = random.below(length);
    std::string vectors;
    for (std::size_t row = 0; row < length; ++row) {
      vectors += row == 0 ? "[" : ", [";
      for (std::size_t i = 0; i < kWinds.size(); ++i)
        vectors += fmt::format("{}{:.2f}", i == 0 ? "" : ", ", random.unit() - (row == at && i == label ? -2 : 0.5));
      vectors += "]";
    }
    return fmt::format(R"({{"features": [{}], "label": "{}"}})", vectors, kWinds[label]);
  }

 private:
  static constexpr std::size_t kDictionary = 60, kChain = 100;
  static constexpr std::array<std::string_view, 4> kTopics = {"harbour", "kitchen", "orchard", "workshop"};

  Words noise(Random& random, std::size_t count) const {
    Words words;
    for (; count > 0; --count) words.push_back(common_[random.below(common_.size())]);
    return words;
  }

  Words common_, foreign_;
  std::array<Words, 4> topics_;
  std::array<Words, 2> styles_;
  std::array<std::array<std::size_t, 3>, kChain> chain_{};
};

struct Planted {
  const char* name;
  const char* kind;
  std::string (World::*make)(Random&) const;
};
constexpr std::array<Planted, 9> kTasks = {{{"topic", "classification", &World::topic},
                                            {"style", "classification", &World::style},
                                            {"tags", "tagging", &World::tags},
                                            {"dictionary", "translation", &World::dictionary},
                                            {"lines", "masked_lm", &World::lines},
                                            {"subjects", "multilabel", &World::subjects},
                                            {"ornament", "regression", &World::ornament},
                                            {"reply", "classification", &World::reply},
                                            {"wind", "classification", &World::wind}}};
// A data set of its own, as every task shares in the vocabulary of its data set.
constexpr std::array<Planted, 1> kSpanTasks = {{{"answer", "span", &World::answer}}};

constexpr std::string_view kDescriptions[] = {"synthetic.ini", "synthetic-span.ini"};

// Writes the files of the tasks, and the import description that names them.
void write_tasks(const std::filesystem::path& folder, const SyntheticOptions& options, const World& world,
                 std::span<const Planted> tasks, std::string description, std::string_view name) {
  const std::array<std::pair<const char*, std::uint64_t>, 3> splits = {
      {{"train", options.train}, {"valid", options.valid}, {"test", options.test}}};
  for (const Planted& task : tasks) {
    description += fmt::format("\n[task.{}]\nkind = {}\n", task.name, task.kind);
    for (const auto& [split, samples] : splits) {
      if (samples == 0) continue;
      const std::uint64_t key = derive(derive(options.seed, hash_bytes(task.name)), hash_bytes(split));
      std::string content;
      for (std::uint64_t i = 0; i < samples; ++i) {
        Random random(derive(key, i), i);
        content += (world.*task.make)(random) + "\n";
      }
      const std::string file = fmt::format("{}.{}.jsonl", task.name, split);
      write_file_atomically(folder / file, content);
      description += fmt::format("{} = {}\n", split, file);
    }
    description += "source = generated by polyhead synthetic\nlicense = CC0-1.0\n";
  }
  write_file_atomically(folder / name, description);
}

void refuse_foreign_files(const std::filesystem::path& folder, std::span<const Planted> tasks) {
  std::error_code error;
  for (const Planted& task : tasks)
    for (const char* split : {"train", "valid", "test"})
      if (const auto file = folder / fmt::format("{}.{}.jsonl", task.name, split);
          std::filesystem::exists(file, error) && !std::filesystem::exists(folder / kDescriptions[0], error))
        throw Error(Exit::cannot_write, fmt::format("{} exists already and is not from polyhead synthetic, which would "
                                                    "have written a synthetic.ini next to it; choose another --out",
                                                    file.string()));
}

}  // namespace

void write_synthetic(const std::filesystem::path& folder, const SyntheticOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw Error(Exit::cannot_write, fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
  refuse_foreign_files(folder, kTasks);
  refuse_foreign_files(folder, kSpanTasks);
  const World world(options.seed);
  // The words have about 370 possible pieces; SentencePiece would reject a larger vocabulary.
  write_tasks(folder, options, world, kSpanTasks,
              fmt::format("# Questions about texts of invented words, seed {}. Import: polyhead import -c "
                          "synthetic-span.ini --out DIR\n[dataset]\nname = synthetic-span\ntokenizer = "
                          "sentencepiece\nvocab_size = {}\nmax_length = 64\n",
                          options.seed, options.train >= 100 ? 340 : 100),
              kDescriptions[1]);
  write_tasks(
      folder, options, world, kTasks,
      fmt::format("# Planted tasks of invented words, seed {}. Import: polyhead import -c synthetic.ini --out DIR\n"
                  "[dataset]\nname = synthetic\ntokenizer = sentencepiece\nvocab_size = {}\nmax_length = 64\n",
                  options.seed, options.train >= 100 ? 340 : 100),
      kDescriptions[0]);
}

}  // namespace polyhead
