// Import reads every file twice: first labels, counts and the tokenizer's texts, then tokens. It writes to a folder
// next to or inside the data set's folder, and moves everything to its place at the end.
#include "datasets/import/import.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"
#include "datasets/import/import_plan.h"
#include "datasets/import/split_writer.h"
#include "datasets/import/staging.h"
#include "datasets/manifest.h"
#include "datasets/reading/input_files.h"
#include "datasets/target.h"
#include "datasets/tokenizer/pretrained.h"
#include "datasets/tokenizer/sentencepiece.h"
#include "datasets/tokenizer/tokenizer.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPipes = ".pipes";  // in the staging folder; tasks cannot have such a name

// Whether the new vocabulary normalizes texts. If it does not, the reason is reported.
bool choose_normalization(const ImportOptions& options, const std::vector<ImportPlan>& plans,
                          const Progress& progress) {
  TargetForms all;
  std::string task;
  for (const ImportPlan& plan : plans) {
    all.add(plan.forms);
    if (task.empty() && !plan.forms.allow_nfkc()) task = plan.info.name;
  }
  if (all.allow_nfkc()) return options.normalization != Normalization::none;
  const std::string because = fmt::format("it replaces characters of targets of task '{}' ({})", task, all.replaced());
  if (options.normalization == Normalization::nfkc)
    progress(
        fmt::format("warning: normalization = nfkc: {}, so that the model can never write them; choose "
                    "normalization = none",
                    because));
  else
    progress(fmt::format("tokenizer: normalization = none rather than nfkc, as {}", because));
  return options.normalization == Normalization::nfkc;
}

TokenizerInfo make_tokenizer(const ImportOptions& options, const fs::path& folder, TextSample& texts,
                             const std::vector<ImportPlan>& plans, const Progress& progress) {
  if (!options.pretrained.empty()) {
    const PretrainedTokenizer pretrained = read_pretrained_tokenizer(options.pretrained);
    if (pretrained.source.filename() != "tokenizer.json")  // errors then name the file of the model
      inspect_tokenizer(pretrained.kind, pretrained.source, pretrained.lowercase);
    progress(fmt::format("tokenizer: {} of {}", pretrained.kind, pretrained.source.string()));
    write_file_atomically(folder / pretrained.file, pretrained.content);
    return inspect_tokenizer(pretrained.kind, folder / pretrained.file, pretrained.lowercase);
  }
  const bool train = options.vocab.empty() && !texts.empty();
  const std::string kind = options.vocab.empty() && !train ? "wordpiece" : options.tokenizer;
  const fs::path file = folder / (kind == "wordpiece" ? "vocab.txt" : "tokenizer.model");
  std::optional<bool> lowercase;
  if (!options.vocab.empty()) {
    lowercase = inspect_tokenizer(kind, options.vocab).lowercase;  // errors then name the file that the user gave
    write_file_atomically(file, read_file(options.vocab));
  } else if (train) {
    const auto start = std::chrono::steady_clock::now();
    const bool normalize = choose_normalization(options, plans, progress);
    const std::vector<std::string> all = texts.take();
    progress(fmt::format("training the tokenizer on {} texts", with_commas(all.size())));
    write_file_atomically(file, train_sentencepiece(all, options.vocab_size, normalize));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    const std::int64_t pieces = inspect_tokenizer(kind, file).vocab_size;
    progress(fmt::format("tokenizer: {} pieces, {:.1f} s", with_commas(pieces), seconds.count()));
    if (pieces < options.vocab_size)
      progress(fmt::format("the texts allow {} pieces, fewer than vocab_size = {}", with_commas(pieces),
                           with_commas(options.vocab_size)));
  } else {
    progress("no task has text: the tokenizer holds the five special tokens only");
    write_file_atomically(file, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
  }
  TokenizerInfo info = inspect_tokenizer(kind, file);
  info.lowercase = lowercase;
  return info;
}

void check(const ImportOptions& options) {
  const auto fail = [](const std::string& what) { throw Error(Exit::config, "import description: " + what); };
  if (options.tasks.empty()) fail("there is no task; add a section [task.NAME]");
  if (!options.pretrained.empty() && !options.vocab.empty())
    fail("'vocab' has no effect with the tokenizer of a pretrained model; leave it out");
  if (options.tokenizer != "sentencepiece" && options.tokenizer != "wordpiece")
    fail(fmt::format("the tokenizer '{}' is unknown; known are sentencepiece and wordpiece", options.tokenizer));
  if (options.tokenizer == "wordpiece" && options.vocab.empty()) fail("wordpiece needs 'vocab = FILE', a vocab.txt");
  if (options.max_length < 4 || options.max_length > 1'000'000)
    fail(fmt::format("max_length = {} is out of range; 4 to 1000000 tokens are possible", options.max_length));
  if (options.vocab_size < 6 || options.vocab_size > 10'000'000)
    fail(fmt::format("vocab_size = {} is out of range; 6 to 10000000 are possible", options.vocab_size));
  if (options.shard_size == 0) fail("shard_size = 0; give bytes, for example 64MiB");
  const ShardStorage& storage = options.storage;
  if (!storage.chunked && (storage.deflate > 0 || storage.shuffle || storage.fletcher32))
    fail("compression, shuffle and fletcher32 need 'storage = chunked'");
  std::set<std::string> names;
  for (const ImportTask& task : options.tasks)
    if (!names.insert(task.name).second) fail(fmt::format("the task '{}' is there twice", task.name));
}

unsigned threads_of(const ImportOptions& options) {
  return options.threads > 0 ? static_cast<unsigned>(options.threads)
                             : std::max(1U, std::thread::hardware_concurrency());
}

constexpr std::uint64_t kOften = 20;  // a warning is printed if more than one sample in 20 is truncated

// Writes the shards of a task to `folder`. before: the task in the data set to which samples are added, or null.
TaskInfo write_task(const ImportOptions& options, const fs::path& folder, const ImportPlan& plan,
                    const TaskInfo* before, const Tokenizer& tokenizer, const TokenizerInfo& tokenizer_info,
                    const Progress& progress) {
  TaskInfo info = plan.info;
  TaskCensus census;
  fs::create_directory(folder / info.name);
  for (const SampleFile& file : plan.files) {
    const bool grows = before != nullptr && before->splits.contains(file.split);
    const std::size_t first = grows ? before->splits.at(file.split).shards.size() : 0;
    SplitInfo split = write_split(options, folder, plan, file, tokenizer, tokenizer_info, first, threads_of(options),
                                  census, progress);
    progress(fmt::format("{}/{}: {} samples, {} {}, {} shard{}", file.task, file.split, with_commas(split.samples),
                         with_commas(split.input_tokens + split.target_tokens),
                         info.features > 0 ? "vectors" : "tokens", split.shards.size(),
                         split.shards.size() == 1 ? "" : "s"));
    info.splits[file.split] = std::move(split);
  }
  if (census.cut > 0)
    progress(fmt::format(
        "{}task '{}': {} of {} samples are longer than max_length = {} {} and are truncated (first: {})",
        census.cut > census.samples / kOften ? "warning: " : "", info.name, with_commas(census.cut),
        with_commas(census.samples), options.max_length, info.features > 0 ? "vectors" : "tokens", census.first_cut));
  for (const auto& [which, remark] : census.remarks)
    progress(fmt::format("task '{}': {} of {} {} (first: {})", info.name, with_commas(remark.samples),
                         with_commas(census.samples), target_of(info.kind).remark(which), remark.first));
  for (const std::string& warning : plan.warnings) progress("warning: " + warning);
  if (const std::string text = census.unknown.warning(fmt::format("task '{}'", info.name)); !text.empty())
    progress("warning: " + text);
  constexpr std::uint64_t kAltered = 100;  // up to one target in 100 may change without a warning
  if (census.altered > census.targets / kAltered)
    progress(
        fmt::format("warning: task '{}': the tokens of {} of {} targets give another text (first: {}), as the "
                    "vocabulary lacks or replaces some of their characters, so the model cannot write them",
                    info.name, census.altered, census.targets, census.first_altered));
  return info;
}

void write_new(const ImportOptions& options, const fs::path& folder, const Progress& progress) {
  TextSample texts;
  const auto inputs = std::make_shared<InputFiles>(folder / kPipes, progress);
  std::vector<ImportPlan> plans;
  for (const ImportTask& task : options.tasks)
    plans.push_back(make_plan(task, nullptr, inputs, threads_of(options), texts, progress));
  Manifest manifest;
  manifest.name = options.name;
  manifest.max_length = static_cast<std::uint64_t>(options.max_length);
  manifest.tokenizer = make_tokenizer(options, folder, texts, plans, progress);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder, manifest.tokenizer);
  for (const ImportPlan& plan : plans)
    manifest.tasks.push_back(write_task(options, folder, plan, nullptr, *tokenizer, manifest.tokenizer, progress));
  write_manifest(folder, manifest);
}

// --- adding to a data set ---

const TaskInfo* find_task(const Manifest& manifest, const std::string& name) {
  const auto found = std::find_if(manifest.tasks.begin(), manifest.tasks.end(),
                                  [&](const TaskInfo& task) { return task.name == name; });
  return found == manifest.tasks.end() ? nullptr : &*found;
}

// Returns the data set's manifest if the import description matches it.
Manifest read_target(const ImportOptions& options, const fs::path& out) {
  Manifest manifest = read_manifest(out);
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::config, fmt::format("cannot add to the data set {}: {}", out.string(), what));
  };
  if (!options.name.empty() && options.name != manifest.name)
    fail(fmt::format("its name is '{}', the import description's '{}'; give the same name, or another --out",
                     manifest.name, options.name));
  const TokenizerInfo& tokenizer = manifest.tokenizer;
  const auto differs = [&](const std::string& key, const std::string& here, const std::string& there) {
    if (options.stated.contains(key) && here != there)
      fail(fmt::format("its {} is {}, the import description says {}; take '{}' out of the import description", key,
                       there, here, key));
  };
  if (manifest.max_length > 0)
    differs("max_length", std::to_string(options.max_length), std::to_string(manifest.max_length));
  if (!options.pretrained.empty()) {
    const PretrainedTokenizer pretrained = read_pretrained_tokenizer(options.pretrained);
    if (const std::string what = tokenizer_difference(pretrained, tokenizer); !what.empty())
      fail(fmt::format("its tokenizer is not that of {}: {}; take 'tokenizer' out of the import description",
                       options.pretrained.string(), what));
  } else if (tokenizer.vocab_size > 5) {
    differs("tokenizer", options.tokenizer, tokenizer.kind);
    if (tokenizer.kind == "sentencepiece" && options.vocab_size < tokenizer.vocab_size)
      differs("vocab_size", std::to_string(options.vocab_size), std::to_string(tokenizer.vocab_size));
  }
  if (!options.vocab.empty() && !manifest.tokenizer.sha256.empty() &&
      sha256_file(options.vocab) != manifest.tokenizer.sha256)
    fail(fmt::format("its tokenizer is {}, and {} is another one; take 'vocab' out of the import description",
                     (out / manifest.tokenizer.file).string(), options.vocab.string()));
  return manifest;
}

// Shards are a function of the samples, so equal bytes mean that the same samples are added again.
void refuse_known(const TaskInfo& before, const TaskInfo& added) {
  for (const auto& [name, split] : added.splits) {
    const auto there = before.splits.find(name);
    if (there == before.splits.end()) continue;
    for (const ShardInfo& shard : split.shards)
      for (const ShardInfo& known : there->second.shards)
        if (shard.sha256 == known.sha256)
          throw Error(
              Exit::data,
              fmt::format("task '{}': its {} samples are in the data set already ({} has the same bytes); leave "
                          "in the import description only what is to be added",
                          added.name, name, known.file));
  }
}

void merge(TaskInfo& before, const TaskInfo& added) {
  for (const auto& [name, split] : added.splits) {
    const bool counted = !before.splits.contains(name) || before.splits.at(name).input_tokens > 0;
    SplitInfo& there = before.splits[name];
    there.samples += split.samples;
    if (counted) there.input_tokens += split.input_tokens, there.target_tokens += split.target_tokens;
    there.shards.insert(there.shards.end(), split.shards.begin(), split.shards.end());
  }
}

// Moves files from one folder to another; they are removed again unless keep() is called.
class Moved {
 public:
  explicit Moved(fs::path to) : to_(std::move(to)) {}
  ~Moved() {
    std::error_code ignored;
    for (auto one = done_.rbegin(); one != done_.rend(); ++one) fs::remove(*one, ignored);
  }
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;
  void move(const fs::path& from, const fs::path& file) {
    if (fs::create_directory((to_ / file).parent_path())) done_.push_back((to_ / file).parent_path());
    rename_and_sync(from / file, to_ / file);
    done_.push_back(to_ / file);
  }
  void keep() { done_.clear(); }

 private:
  fs::path to_;
  std::vector<fs::path> done_;
};

void append(const ImportOptions& given, Staging& staging, const fs::path& out, const Progress& progress) {
  const fs::path& folder = staging.folder();
  Manifest manifest = read_target(given, out);
  ImportOptions options = given;
  if (manifest.max_length > 0) options.max_length = static_cast<std::int64_t>(manifest.max_length);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(out, manifest.tokenizer);
  TextSample texts;
  const auto inputs = std::make_shared<InputFiles>(folder / kPipes, progress);
  std::vector<ImportPlan> plans;
  for (const ImportTask& task : options.tasks)
    plans.push_back(make_plan(task, find_task(manifest, task.name), inputs, threads_of(options), texts, progress));
  if (manifest.tokenizer.vocab_size <= 5 && !texts.empty())
    throw Error(Exit::data,
                fmt::format("cannot add text to the data set {}: its tokenizer holds special tokens only, as "
                            "none of its tasks has text; import all tasks together into a new data set",
                            out.string()));
  std::set<std::string> known;
  for (const TaskInfo& task : manifest.tasks)
    for (const auto& [name, split] : task.splits)
      for (const ShardInfo& shard : split.shards) known.insert(fs::path(shard.file).lexically_normal());
  std::vector<fs::path> files;
  for (const ImportPlan& plan : plans) {
    const TaskInfo* before = find_task(manifest, plan.info.name);
    TaskInfo added = write_task(options, folder, plan, before, *tokenizer, manifest.tokenizer, progress);
    if (before != nullptr) refuse_known(*before, added);
    for (const auto& [name, split] : added.splits)
      for (const ShardInfo& shard : split.shards) {
        files.emplace_back(shard.file);
        if (known.contains(shard.file))
          throw Error(Exit::data, fmt::format("cannot add the shard {}: the data set {} has another one of that name; "
                                              "rename it, in its dataset.json too",
                                              shard.file, out.string()));
      }
    if (before == nullptr)
      manifest.tasks.push_back(std::move(added));
    else
      merge(*std::find_if(manifest.tasks.begin(), manifest.tasks.end(),
                          [&](const TaskInfo& task) { return task.name == added.name; }),
            added);
  }
  staging.publish([&] {
    Moved moved(out);
    for (const fs::path& file : files) moved.move(folder, file);
    write_manifest(out, manifest);
    moved.keep();
  });
}

}  // namespace

namespace {

// The staging folder is emptied, so no input file may be inside of it.
void check_inputs(const ImportOptions& options, const fs::path& target) {
  std::vector<fs::path> files = {options.vocab};
  for (const ImportTask& task : options.tasks)
    for (const auto* splits : {&task.files, &task.targets})
      for (const auto& [split, of_split] : *splits) files.insert(files.end(), of_split.begin(), of_split.end());
  for (const fs::path& folder : {fs::path(target.string() + ".importing"), target / ".importing"})
    for (const fs::path& file : files) {
      std::error_code code;
      const fs::path place = fs::weakly_canonical(file, code), inside = fs::weakly_canonical(folder, code);
      if (std::mismatch(inside.begin(), inside.end(), place.begin(), place.end()).first == inside.end())
        throw Error(Exit::data, fmt::format("cannot import {}: it is in {}, a folder that import empties; move it, or "
                                            "choose another --out",
                                            file.string(), folder.string()));
    }
}

}  // namespace

void import_dataset(const ImportOptions& options, const fs::path& out, const Progress& progress) {
  check(options);
  const fs::path target = target_of(out);
  check_inputs(options, target);
  try {
    if (options.append) {
      read_manifest(target);  // before anything is created there
      Staging staging(target / ".importing", target);
      append(options, staging, target, progress);
      return;
    }
    refuse_full(target);
    Staging staging = staging_beside(target);
    refuse_full(target);
    write_new(options, staging.folder(), progress);
    staging.publish();
  } catch (const fs::filesystem_error& error) {
    throw Error(Exit::cannot_write, fmt::format("cannot write the data set {}: {}", target.string(), error.what()));
  }
}

}  // namespace polyhead
