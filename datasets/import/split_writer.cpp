// Converts samples to tokens on all cores, and writes them to shards in the order of the file.
#include "datasets/import/split_writer.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "core/base/files.h"
#include "core/base/text.h"
#include "datasets/model_input.h"
#include "datasets/reading/record_blocks.h"
#include "datasets/shard.h"
#include "datasets/shard_writer.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// The ids and tags of a sample, computed on any thread.
struct Encoded {
  Sample sample;
  std::vector<std::int64_t> input, target;
  std::size_t second = 0;
  std::vector<std::uint16_t> tags;
  bool altered = false;  // translation: the tokens of the target give another text
  bool cut = false;      // the input or the target is longer than max_length
};

// Whether the texts are equal except for white space.
bool same_text(std::string_view a, std::string_view b) {
  const auto next = [](std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    return word;
  };
  for (;;) {
    const std::string_view here = next(a), there = next(b);
    if (here != there) return false;
    if (here.empty()) return true;
  }
}

class SplitWriter {
 public:
  SplitWriter(const ImportOptions& options, const fs::path& folder, const ImportPlan& plan, const SampleFile& file,
              const Tokenizer& tokenizer, const TokenizerInfo& info, std::size_t first, TaskCensus& census)
      : options_(options),
        folder_(folder),
        plan_(plan),
        file_(file),
        tokenizer_(tokenizer),
        tokenizer_info_(info),
        first_(first),
        census_(census) {
    has_texts_ = file.split != "train" && (file.kind == Kind::translation || file.kind == Kind::tagging);
    start_shard();
  }

  SplitInfo write(unsigned threads, const Progress& progress) {
    auto reported = Clock::now();
    each_record(
        file_, threads, [&](Sample&& sample, const Place& place) { return encode(std::move(sample), place); },
        [&](Encoded&& one, const Place& place) {
          count(one, place);
          append(one, place);
          if (info_.samples % 4096 != 0 || Clock::now() - reported < std::chrono::seconds(5)) return;
          progress(fmt::format("{}/{}: {} samples so far", file_.task, file_.split, with_commas(info_.samples)));
          reported = Clock::now();
        });
    if (content_.samples() > 0) finish_shard();
    name_shards();
    return info_;
  }

 private:
  Encoded encode(Sample&& sample, const Place& place) const {
    const auto length = static_cast<std::size_t>(options_.max_length);
    Encoded out;
    out.sample = std::move(sample);
    if (out.sample.width != plan_.info.features ||
        (file_.kind == Kind::regression && out.sample.value.size() != plan_.outputs))
      fail_changed(*place.file, fmt::format("line {} has another number of values", place.line));
    const auto number_of = [&](const std::string& tag) {
      return static_cast<std::uint16_t>(plan_.number_of(tag, place));
    };
    const auto fail = [&](const std::string& what) { SampleFile::fail(place, what); };
    ModelInput input =
        encode_sample(tokenizer_, tokenizer_info_, {.kind = file_.kind, .max_length = length}, out.sample, fail);
    if (const std::size_t width = out.sample.width; width > 0) {
      out.sample.features = std::move(input.features);
      if (file_.kind == Kind::tagging)
        for (const std::int64_t row : input.first_piece)
          out.tags.push_back(number_of(out.sample.tags[static_cast<std::size_t>(row)]));
    } else if (file_.kind == Kind::tagging) {
      out.tags.assign(input.tokens.size(), kNotScored);
      for (std::size_t w = 0; w < input.first_piece.size(); ++w)
        out.tags[static_cast<std::size_t>(input.first_piece[w])] = number_of(out.sample.tags[w]);
    }
    if (out.sample.width == 0) out.input = std::move(input.tokens);
    out.second = input.second;
    out.cut = input.cut;
    if (file_.kind == Kind::translation) {
      out.target = tokenizer_.encode(out.sample.target);
      if (out.target.empty()) fail(nothing_kept("target"));
      out.altered =
          tokenizer_info_.kind == "sentencepiece" && !same_text(tokenizer_.decode(out.target), out.sample.target);
      out.cut = out.cut || out.target.size() > length - 1;
      out.target.resize(std::min(out.target.size(), length - 1));
      out.target.push_back(tokenizer_info_.eos);
    }
    return out;
  }

  void count(const Encoded& one, const Place& place) {
    const std::string where = fmt::format("{} line {}", place.file->file.filename().string(), place.line);
    std::string text = one.sample.text;
    if (one.sample.second) text += " " + *one.sample.second;
    census_.unknown.add(tokenizer_, tokenizer_info_, one.input, text, where);
    census_.unknown.add(tokenizer_, tokenizer_info_, one.target, one.sample.target, where);
    ++census_.samples;
    census_.cut += one.cut;
    if (one.cut && census_.first_cut.empty()) census_.first_cut = where;
    census_.targets += !one.target.empty();
    census_.altered += one.altered;
    if (one.altered && census_.first_altered.empty()) census_.first_altered = where;
  }

  void start_shard() {
    content_ = {};
    content_.task = file_.task;
    content_.split = file_.split;
    content_.kind = file_.kind;
    content_.vocab_size = static_cast<std::uint64_t>(tokenizer_info_.vocab_size);
    content_.width = file_.kind == Kind::multilabel ? plan_.info.labels.size() : plan_.outputs;
    content_.feature_width = plan_.info.features;
    if (has_texts_) {
      content_.target_text.emplace();
      if (content_.feature_width == 0) content_.input_text.emplace();
    }
    bytes_ = 0;
    any_second_ = false;
  }

  void append(const Encoded& one, const Place& place) {
    const Sample& sample = one.sample;
    std::uint64_t length = one.input.size();
    if (sample.width > 0) {
      length = sample.features.size() / sample.width;
      content_.features.insert(content_.features.end(), sample.features.begin(), sample.features.end());
      content_.input.offsets.push_back(content_.input.offsets.back() + length);
    } else {
      content_.input.push(one.input);
    }
    content_.second.push_back(static_cast<std::uint32_t>(one.second));
    any_second_ = any_second_ || one.second > 0;
    switch (file_.kind) {
      case Kind::classification:
        content_.label.push_back(plan_.number_of(sample.label, place));
        break;
      case Kind::multilabel: {
        const std::size_t row = content_.labels.size();
        content_.labels.resize(row + content_.width);
        for (const std::string& label : sample.labels) content_.labels[row + plan_.number_of(label, place)] = 1;
        bytes_ += content_.width;
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
      std::string tags;
      for (const std::string& tag : sample.tags) tags += (tags.empty() ? "" : " ") + tag;
      const std::string& target = file_.kind == Kind::tagging ? tags : sample.target;
      content_.target_text->push(target);
      if (content_.input_text)
        content_.input_text->push(sample.second ? sample.text + " " + *sample.second : sample.text);
      bytes_ += target.size() + sample.text.size();
    }
    ++info_.samples;
    info_.input_tokens += length;
    info_.target_tokens += one.target.size();
    bytes_ +=
        (one.input.size() + one.target.size()) * (content_.vocab_size <= 65536 ? 2 : 4) + sample.features.size() * 4;
    if (bytes_ >= options_.shard_size) finish_shard();
  }

  void finish_shard() {
    if (!any_second_) content_.second.clear();
    ShardInfo shard;
    shard.file = fmt::format("{}/{}-{:05}.h5", file_.task, file_.split, first_ + info_.shards.size());
    shard.samples = content_.samples();
    write_shard(folder_ / shard.file, content_, options_.storage);
    info_.shards.push_back(std::move(shard));
    start_shard();
  }

  // The name of a shard contains the number of shards, which is known only now.
  void name_shards() {
    for (std::size_t i = 0; i < info_.shards.size(); ++i) {
      ShardInfo& shard = info_.shards[i];
      const fs::path before = folder_ / shard.file;
      shard.file =
          fmt::format("{}/{}-{:05}-of-{:05}.h5", file_.task, file_.split, first_ + i, first_ + info_.shards.size());
      rename_and_sync(before, folder_ / shard.file);
      shard.bytes = fs::file_size(folder_ / shard.file);
      shard.sha256 = sha256_file(folder_ / shard.file);
    }
  }

  const ImportOptions& options_;
  const fs::path& folder_;
  const ImportPlan& plan_;
  const SampleFile& file_;
  const Tokenizer& tokenizer_;
  const TokenizerInfo& tokenizer_info_;
  std::size_t first_ = 0;
  TaskCensus& census_;
  bool has_texts_ = false;
  ShardContent content_;
  std::uint64_t bytes_ = 0;
  bool any_second_ = false;
  SplitInfo info_;
};

}  // namespace

SplitInfo write_split(const ImportOptions& options, const fs::path& folder, const ImportPlan& plan,
                      const SampleFile& file, const Tokenizer& tokenizer, const TokenizerInfo& info, std::size_t first,
                      unsigned threads, TaskCensus& census, const Progress& progress) {
  return SplitWriter(options, folder, plan, file, tokenizer, info, first, census).write(threads, progress);
}

}  // namespace polyhead
