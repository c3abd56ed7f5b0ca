// Converts samples to tokens on all cores, and writes them to shards in the order of the file.
#include "datasets/import/split_writer.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "core/base/files.h"
#include "core/base/text.h"
#include "datasets/reading/record_blocks.h"
#include "datasets/shard_writer.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

class SplitWriter {
 public:
  SplitWriter(const ImportOptions& options, const fs::path& folder, const ImportPlan& plan, const SampleFile& file,
              const Tokenizer& tokenizer, const TokenizerInfo& info, std::size_t first, TaskCensus& census)
      : options_(options),
        folder_(folder),
        plan_(plan),
        file_(file),
        target_(target_of(file.kind)),
        tokenizer_(tokenizer),
        tokenizer_info_(info),
        first_(first),
        census_(census) {
    has_texts_ = file.split != "train" && target_.keeps_texts();
    start_shard();
  }

  SplitInfo write(unsigned threads, const Progress& progress) {
    auto reported = Clock::now();
    each_record(
        file_, threads, [&](Sample&& sample, const Place& place) { return encode(std::move(sample), place); },
        [&](EncodedSample&& one, const Place& place) {
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
  EncodedSample encode(Sample&& sample, const Place& place) const {
    const auto length = static_cast<std::size_t>(options_.max_length);
    EncodedSample out;
    out.sample = std::move(sample);
    if (out.sample.width != plan_.info.features ||
        (!out.sample.value.empty() && out.sample.value.size() != plan_.outputs))
      fail_changed(*place.file, fmt::format("line {} has another number of values", place.line));
    const auto fail = [&](const std::string& what) { SampleFile::fail(place, what); };
    ModelInput input =
        encode_sample(tokenizer_, tokenizer_info_, {.kind = file_.kind, .max_length = length}, out.sample, fail);
    out.second = input.second;
    out.cut = input.cut;
    target_.encode({tokenizer_, tokenizer_info_, input, length, numbers(place), fail}, out);
    if (out.sample.width > 0)
      out.sample.features = std::move(input.features);
    else
      out.input = std::move(input.tokens);
    return out;
  }

  NumberOf numbers(const Place& place) const {
    return [this, &place](const std::string& label) { return plan_.number_of(label, place); };
  }

  void count(const EncodedSample& one, const Place& place) {
    const std::string where = fmt::format("{} line {}", place.file->file.filename().string(), place.line);
    std::string text = one.sample.text;
    if (one.sample.second) text += " " + *one.sample.second;
    census_.unknown.add(tokenizer_, tokenizer_info_, one.input, text, where);
    census_.unknown.add(tokenizer_, tokenizer_info_, one.target, one.sample.target, where);
    ++census_.samples;
    census_.cut += one.cut;
    if (one.cut && census_.first_cut.empty()) census_.first_cut = where;
    for (const std::size_t which : one.remarks) {
      TaskCensus::Remark& remark = census_.remarks[which];
      if (remark.samples++ == 0) remark.first = where;
    }
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
    content_.width = target_.width(plan_.info);
    content_.feature_width = plan_.info.features;
    if (has_texts_) {
      content_.target_text.emplace();
      if (content_.feature_width == 0) content_.input_text.emplace();
    }
    bytes_ = 0;
    any_second_ = false;
  }

  void append(const EncodedSample& one, const Place& place) {
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
    if (plan_.info.weights && file_.split == "train") {
      content_.weight.push_back(sample.weight.value_or(1));
      bytes_ += sizeof(float);
    }
    bytes_ += target_.append(one, numbers(place), content_);
    if (has_texts_) {
      const std::string target = target_.target_text(sample);
      content_.target_text->push(target);
      if (content_.input_text) content_.input_text->push(target_.input_text(sample));
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
  const Target& target_;
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
