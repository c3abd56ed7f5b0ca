// Import: reads every file twice, line by line (first labels, counts and the tokenizer's texts, then tokens), and
// writes the data set into a folder beside its own, which is renamed at the end.
#include "datasets/import.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "datasets/jsonl.h"
#include "datasets/manifest.h"
#include "datasets/sentencepiece.h"
#include "datasets/shard.h"
#include "datasets/shard_writer.h"
#include "datasets/tokenizer.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::array<const char*, 3> kSplits = {"train", "valid", "test"};
constexpr std::size_t kBlock = 8192;  // lines read, then tokenized on all cores
constexpr std::size_t kTokenizerTexts = 200'000;
constexpr std::size_t kTokenizerBytes = 128ULL << 20;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// 1234567 -> "1,234,567"
std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

// The texts to train the tokenizer on: those with the smallest hashes, so that a bounded number is a fair sample of all
// tasks in an order that depends on nothing else, each text once.
class TextSample {
 public:
  void add(const std::string& text) {
    const std::uint64_t hash = hash_bytes(text);
    if (full() && hash > texts_.rbegin()->first) return;
    if (!texts_.emplace(hash, text).second) return;
    bytes_ += text.size();
    while (texts_.size() > kTokenizerTexts || bytes_ > kTokenizerBytes) {
      const auto last = std::prev(texts_.end());
      bytes_ -= last->second.size();
      texts_.erase(last);
      dropped_ = true;
    }
  }
  std::vector<std::string> take() {
    std::vector<std::string> all;
    for (auto& [hash, text] : texts_) all.push_back(std::move(text));
    return all;
  }

 private:
  bool full() const { return dropped_ && !texts_.empty(); }
  std::map<std::uint64_t, std::string> texts_;
  std::size_t bytes_ = 0;
  bool dropped_ = false;
};

// Calls work(i) for i in 0..n-1 on several threads; throws what the smallest i threw, whatever the timing.
template <class Work>
void parallel_for(unsigned threads, std::size_t n, const Work& work) {
  constexpr std::size_t kPiece = 32;
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> stop = false;
  std::mutex mutex;
  std::size_t failed_at = n;
  std::exception_ptr failure;
  const auto run = [&] {
    // Pieces are handed out in order, and one that was handed out is finished up to its own error.
    while (!stop) {
      const std::size_t first = next.fetch_add(kPiece);
      if (first >= n) return;
      std::size_t i = first;
      try {
        for (; i < std::min(n, first + kPiece); ++i) work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        stop = true;
        if (i < failed_at) failed_at = i, failure = std::current_exception();
      }
    }
  };
  std::vector<std::thread> others;
  for (unsigned t = 1; t < threads && t * kPiece < n; ++t) others.emplace_back(run);
  run();
  for (std::thread& one : others) one.join();
  if (failure) std::rethrow_exception(failure);
}

// A task between the two passes.
struct Plan {
  const ImportTask* task = nullptr;
  std::vector<SampleFile> files;  // in the order of kSplits
  TaskInfo info;
  std::unordered_map<std::string, std::uint32_t> index;  // label -> number
  std::uint64_t width = 1;                               // regression
};

std::vector<std::string> labels_of(const Sample& sample, Kind kind) {
  switch (kind) {
    case Kind::classification:
      return {sample.label};
    case Kind::multilabel:
      return sample.labels;
    case Kind::tagging:
      return sample.tags;
    default:
      return {};
  }
}

void scan_train(Plan& plan, TextSample& texts, std::uint64_t& samples) {
  const SampleFile& file = plan.files.front();
  std::set<std::string> labels;
  Line line;
  for (LineReader reader(file); reader.next(line); ++samples) {
    const Sample sample = file.parse(line.number, line.content);
    for (std::string& label : labels_of(sample, file.kind)) labels.insert(std::move(label));
    if (samples == 0) plan.width = std::max<std::uint64_t>(sample.value.size(), 1);
    if (file.kind == Kind::regression && sample.value.size() != plan.width)
      file.fail(line.number, fmt::format("has {} values, the lines before have {}", sample.value.size(), plan.width));
    texts.add(sample.text);
    if (sample.second) texts.add(*sample.second);
    if (!sample.target.empty()) texts.add(sample.target);
  }
  if (samples == 0) return;
  plan.info.labels.assign(labels.begin(), labels.end());
  const bool named = file.kind == Kind::multilabel || file.kind == Kind::classification || file.kind == Kind::tagging;
  if (named && labels.empty())
    throw Error(Exit::data,
                fmt::format("task '{}': no line of its train file {} has a label; give at least one a label", file.task,
                            file.file.string()));
  if (file.kind == Kind::tagging && labels.size() >= kNotScored)
    throw Error(Exit::data, fmt::format("task '{}': its train file {} has {} tags; at most 65,534 are possible",
                                        file.task, file.file.string(), labels.size()));
  for (const std::string& label : plan.info.labels)
    plan.index.emplace(label, static_cast<std::uint32_t>(plan.index.size()));
  if (file.kind == Kind::regression && plan.width > 1)
    for (std::uint64_t k = 0; k < plan.width; ++k) plan.info.outputs.push_back(std::to_string(k));
}

void scan_held_out(const Plan& plan, const SampleFile& file, std::uint64_t& samples) {
  Line line;
  for (LineReader reader(file); reader.next(line); ++samples) {
    const Sample sample = file.parse(line.number, line.content);
    for (const std::string& label : labels_of(sample, file.kind))
      if (!plan.index.contains(label))
        file.fail(line.number,
                  fmt::format("has the {} '{}', which no line of the train file {} has; add samples of it to train, or "
                              "take the line out",
                              file.kind == Kind::tagging ? "tag" : "label", label, plan.files.front().file.string()));
    if (file.kind == Kind::regression && sample.value.size() != plan.width)
      file.fail(line.number, fmt::format("has {} values, those of train have {}", sample.value.size(), plan.width));
  }
}

Plan make_plan(const ImportTask& task, TextSample& texts, const Progress& progress) {
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::data, fmt::format("task '{}' {}", task.name, what));
  };
  const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; };
  if (task.name.empty() || task.name.front() == '.' || !std::all_of(task.name.begin(), task.name.end(), allowed))
    fail("has a name that cannot be a folder's; use letters, digits, '-', '_' and '.'");
  if (!task.files.contains("train"))
    fail("has no train data; add 'train = FILE.jsonl' to its section of the import description");
  for (const auto& [split, file] : task.files)
    if (std::find(kSplits.begin(), kSplits.end(), split) == kSplits.end())
      fail(fmt::format("has a split '{}'; known are train, valid and test", split));

  Plan plan;
  plan.task = &task;
  plan.info.name = task.name;
  plan.info.kind = task.kind;
  plan.info.source = task.source;
  plan.info.license = task.license;
  plan.info.source_language = task.source_language;
  plan.info.target_language = task.target_language;
  for (const char* split : kSplits)
    if (const auto found = task.files.find(split); found != task.files.end())
      plan.files.push_back({task.name, split, task.kind, found->second});
  std::string counts;
  for (const SampleFile& file : plan.files) {
    std::uint64_t samples = 0;
    if (file.split == "train")
      scan_train(plan, texts, samples);
    else
      scan_held_out(plan, file, samples);
    if (samples == 0)
      fail(fmt::format("has 0 samples in its {} file {}; fill the file, or take {} out of the import description",
                       file.split, file.file.string(), file.split == "train" ? "the task" : "'" + file.split + "'"));
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", file.split, grouped(samples));
  }
  if (!plan.info.labels.empty())
    counts += fmt::format(", {} {}", plan.info.labels.size(), task.kind == Kind::tagging ? "tags" : "labels");
  progress(fmt::format("read {}: {}", task.name, counts));
  return plan;
}

// One sample's numbers, made on any thread.
struct Encoded {
  Sample sample;
  std::vector<std::int64_t> input, target;
  std::size_t second = 0;
  std::vector<std::uint16_t> tags;
};

class SplitWriter {
 public:
  SplitWriter(const ImportOptions& options, const fs::path& folder, const Plan& plan, const SampleFile& file,
              const Tokenizer& tokenizer, const TokenizerInfo& info)
      : options_(options), folder_(folder), plan_(plan), file_(file), tokenizer_(tokenizer), tokenizer_info_(info) {
    has_texts_ = file.split != "train" && (file.kind == Kind::translation || file.kind == Kind::tagging);
    start_shard();
  }

  SplitInfo write(unsigned threads, const Progress& progress) {
    LineReader reader(file_);
    std::vector<Line> lines;
    std::vector<Encoded> block;
    Line line;
    auto told = Clock::now();
    for (bool more = true; more;) {
      lines.clear();
      while (lines.size() < kBlock && (more = reader.next(line))) lines.push_back(std::move(line));
      block.assign(lines.size(), {});
      parallel_for(threads, lines.size(), [&](std::size_t i) { block[i] = encode(lines[i]); });
      for (const Encoded& one : block) append(one);
      if (more && seconds_since(told) > 5) {
        progress(fmt::format("{}/{}: {} samples so far", file_.task, file_.split, grouped(info_.samples)));
        told = Clock::now();
      }
    }
    if (content_.samples() > 0) finish_shard();
    name_shards();
    return info_;
  }

 private:
  Encoded encode(const Line& line) const {
    const auto length = static_cast<std::size_t>(options_.max_length);
    Encoded out;
    out.sample = file_.parse(line.number, line.content);
    if (file_.kind == Kind::tagging) {
      const EncodedWords words = encode_words(tokenizer_, tokenizer_info_, out.sample.words, length);
      out.input = words.tokens;
      out.tags.assign(words.tokens.size(), kNotScored);
      for (std::size_t w = 0; w < words.first_piece.size(); ++w)
        out.tags[static_cast<std::size_t>(words.first_piece[w])] =
            static_cast<std::uint16_t>(plan_.index.at(out.sample.tags[w]));
      return out;
    }
    if (out.sample.second) {
      EncodedPair pair = encode_pair(tokenizer_, tokenizer_info_, out.sample.text, *out.sample.second, length);
      out.input = std::move(pair.tokens);
      out.second = pair.second;
    } else {
      out.input = encode_input(tokenizer_, tokenizer_info_, out.sample.text, length);
    }
    const auto nothing = [&](const char* key) {
      file_.fail(
          line.number,
          fmt::format("has a '{}' without a character that the tokenizer keeps; give it text or take the line out",
                      key));
    };
    if (out.input.size() <= (out.sample.second ? 3U : 2U)) nothing("text");
    if (file_.kind == Kind::translation) {
      out.target = tokenizer_.encode(out.sample.target);
      if (out.target.empty()) nothing("target");
      out.target.resize(std::min(out.target.size(), length - 1));
      out.target.push_back(tokenizer_info_.eos);
    }
    return out;
  }

  void start_shard() {
    content_ = {};
    content_.task = file_.task;
    content_.split = file_.split;
    content_.kind = file_.kind;
    content_.vocab_size = static_cast<std::uint64_t>(tokenizer_info_.vocab_size);
    content_.width = file_.kind == Kind::multilabel ? plan_.info.labels.size() : plan_.width;
    if (has_texts_) content_.input_text.emplace(), content_.target_text.emplace();
    bytes_ = 0;
    any_second_ = false;
  }

  void append(const Encoded& one) {
    const Sample& sample = one.sample;
    content_.input.push(one.input);
    content_.second.push_back(static_cast<std::uint32_t>(one.second));
    any_second_ = any_second_ || one.second > 0;
    switch (file_.kind) {
      case Kind::classification:
        content_.label.push_back(plan_.index.at(sample.label));
        break;
      case Kind::multilabel: {
        const std::size_t row = content_.labels.size();
        content_.labels.resize(row + content_.width);
        for (const std::string& label : sample.labels) content_.labels[row + plan_.index.at(label)] = 1;
        break;
      }
      case Kind::regression:
        content_.value.insert(content_.value.end(), sample.value.begin(), sample.value.end());
        break;
      case Kind::tagging:
        content_.tags.insert(content_.tags.end(), one.tags.begin(), one.tags.end());
        break;
      case Kind::translation:
        content_.target.push(one.target);
        break;
      case Kind::masked_lm:
        break;
    }
    if (has_texts_) {
      content_.input_text->push(sample.second ? sample.text + " " + *sample.second : sample.text);
      std::string tags;
      for (const std::string& tag : sample.tags) tags += (tags.empty() ? "" : " ") + tag;
      content_.target_text->push(file_.kind == Kind::tagging ? tags : sample.target);
    }
    ++info_.samples;
    info_.input_tokens += one.input.size();
    info_.target_tokens += one.target.size();
    bytes_ += (one.input.size() + one.target.size()) * (content_.vocab_size <= 65536 ? 2 : 4);
    if (bytes_ >= options_.shard_size) finish_shard();
  }

  void finish_shard() {
    if (!any_second_) content_.second.clear();
    ShardInfo shard;
    shard.file = fmt::format("{}/{}-{:05}.h5", file_.task, file_.split, info_.shards.size());
    shard.samples = content_.samples();
    write_shard(folder_ / shard.file, content_);
    info_.shards.push_back(std::move(shard));
    start_shard();
  }

  // A shard's name holds the number of shards, which is known only now.
  void name_shards() {
    for (std::size_t i = 0; i < info_.shards.size(); ++i) {
      ShardInfo& shard = info_.shards[i];
      const fs::path before = folder_ / shard.file;
      shard.file = fmt::format("{}/{}-{:05}-of-{:05}.h5", file_.task, file_.split, i, info_.shards.size());
      rename_and_sync(before, folder_ / shard.file);
      shard.bytes = fs::file_size(folder_ / shard.file);
      shard.sha256 = sha256_file(folder_ / shard.file);
    }
  }

  const ImportOptions& options_;
  const fs::path& folder_;
  const Plan& plan_;
  const SampleFile& file_;
  const Tokenizer& tokenizer_;
  const TokenizerInfo& tokenizer_info_;
  bool has_texts_ = false;
  ShardContent content_;
  std::uint64_t bytes_ = 0;
  bool any_second_ = false;
  SplitInfo info_;
};

TokenizerInfo make_tokenizer(const ImportOptions& options, const fs::path& folder, TextSample& texts,
                             const Progress& progress) {
  const fs::path file = folder / (options.tokenizer == "wordpiece" ? "vocab.txt" : "tokenizer.model");
  if (!options.vocab.empty()) {
    inspect_tokenizer(options.tokenizer, options.vocab);  // so that an error names the file that was given
    write_file_atomically(file, read_file(options.vocab));
  } else {
    const auto start = Clock::now();
    const std::vector<std::string> all = texts.take();
    progress(fmt::format("training the tokenizer on {} texts", grouped(all.size())));
    write_file_atomically(file, train_sentencepiece(all, options.vocab_size));
    progress(fmt::format("tokenizer: {} pieces, {:.1f} s", grouped(static_cast<std::uint64_t>(options.vocab_size)),
                         seconds_since(start)));
  }
  return inspect_tokenizer(options.tokenizer, file);
}

void check(const ImportOptions& options) {
  const auto fail = [](const std::string& what) { throw Error(Exit::config, "import description: " + what); };
  if (options.tasks.empty()) fail("there is no task; add a section [task.NAME]");
  if (options.tokenizer != "sentencepiece" && options.tokenizer != "wordpiece")
    fail(fmt::format("the tokenizer '{}' is unknown; known are sentencepiece and wordpiece", options.tokenizer));
  if (options.tokenizer == "wordpiece" && options.vocab.empty()) fail("wordpiece needs 'vocab = FILE', a vocab.txt");
  if (options.max_length < 4 || options.max_length > 1'000'000)
    fail(fmt::format("max_length = {} is out of range; 4 to 1000000 tokens are possible", options.max_length));
  if (options.vocab_size < 6 || options.vocab_size > 10'000'000)
    fail(fmt::format("vocab_size = {} is out of range; 6 to 10000000 are possible", options.vocab_size));
  if (options.shard_size == 0) fail("shard_size = 0; give bytes, for example 64MiB");
  std::set<std::string> names;
  for (const ImportTask& task : options.tasks)
    if (!names.insert(task.name).second) fail(fmt::format("the task '{}' is there twice", task.name));
}

void write_all(const ImportOptions& options, const fs::path& folder, const Progress& progress) {
  const unsigned threads =
      options.threads > 0 ? static_cast<unsigned>(options.threads) : std::max(1U, std::thread::hardware_concurrency());
  TextSample texts;
  std::vector<Plan> plans;
  for (const ImportTask& task : options.tasks) plans.push_back(make_plan(task, texts, progress));

  Manifest manifest;
  manifest.name = options.name;
  manifest.tokenizer = make_tokenizer(options, folder, texts, progress);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder, manifest.tokenizer);
  for (Plan& plan : plans) {
    fs::create_directory(folder / plan.info.name);
    for (const SampleFile& file : plan.files) {
      SplitWriter writer(options, folder, plan, file, *tokenizer, manifest.tokenizer);
      const SplitInfo info = writer.write(threads, progress);
      progress(fmt::format("{}/{}: {} samples, {} tokens, {} shard{}", file.task, file.split, grouped(info.samples),
                           grouped(info.input_tokens + info.target_tokens), info.shards.size(),
                           info.shards.size() == 1 ? "" : "s"));
      plan.info.splits[file.split] = info;
    }
    manifest.tasks.push_back(plan.info);
  }
  write_manifest(folder, manifest);
}

}  // namespace

void import_dataset(const ImportOptions& options, const fs::path& out, const Progress& progress) {
  check(options);
  // Without a trailing '/', which would make the folder beside a folder inside.
  const fs::path target = out.has_filename() ? out : out.parent_path();
  const fs::path beside = target.string() + ".importing";
  try {
    if (fs::exists(target) && (!fs::is_directory(target) || !fs::is_empty(target)))
      throw Error(Exit::cannot_write,
                  fmt::format("cannot import to {}: it is there and is no empty folder; remove it or choose "
                              "another --out",
                              target.string()));
    fs::remove_all(beside);  // of an import that was killed
    fs::create_directories(beside);
    write_all(options, beside, progress);
    rename_and_sync(beside, target);
  } catch (const fs::filesystem_error& error) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    throw Error(Exit::cannot_write, fmt::format("cannot write the data set {}: {}", target.string(), error.what()));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    throw;
  }
}

}  // namespace polyhead
