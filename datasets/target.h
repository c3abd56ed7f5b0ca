// The target of a kind of task, from the files of import to a batch. Each kind is a file of this folder and a line of
// registry.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/batch.h"
#include "core/base/kind.h"
#include "datasets/column_writer.h"
#include "datasets/dataset.h"
#include "datasets/masking.h"
#include "datasets/model_input.h"
#include "datasets/sample_parts.h"
#include "datasets/shard.h"
#include "datasets/shard_reader.h"
#include "datasets/shard_writer.h"

namespace polyhead {

// A part of a sample in a file: its name, as in JSON, and other names that import recognises, in lower case.
struct PartNames {
  enum class Role { input, target, optional };
  std::string_view name;
  std::vector<std::string_view> usual;
  Role role = Role::target;
};

// Whether the input may have a second text. named: only if the file calls it `second`; usual: also under usual names,
// as in `premise` and `hypothesis`.
enum class SecondText { none, named, usual };

// words: a list of words, of which each has a target. context: a question as the first text, and as the second the text
// that has the answer, with the characters of its tokens.
enum class InputForm { text, words, context };

// How import and the manifest treat the labels of a kind.
struct LabelRules {
  std::string_view part;                            // "label"
  std::string_view one = "label", many = "labels";  // in messages
  std::uint64_t most = UINT32_MAX;                  // number of classes
  bool optional = false;  // whether samples without a label are left out; otherwise they are refused
  bool per_word = false;
};

// Returns the number of a label.
using NumberOf = std::function<std::uint32_t(const std::string&)>;

// A sample as its shard will hold it.
struct EncodedSample {
  Sample sample;
  std::vector<std::int64_t> input, target;  // target: translation
  std::size_t second = 0;
  std::vector<std::uint16_t> tags;               // tagging
  std::vector<CharacterRange> characters;        // span: of the input's tokens
  std::pair<std::uint32_t, std::uint32_t> span;  // span: first and last token of the answer; 0, 0: cut off
  std::vector<std::size_t> remarks;              // see Target::remark()
  bool altered = false;                          // translation: the tokens of the target give another text
  bool cut = false;                              // the input or the target is longer than max_length
};

// What encode() may use besides the sample.
struct EncodingContext {
  const Tokenizer& tokenizer;
  const TokenizerInfo& info;
  const ModelInput& input;  // of the sample
  std::size_t max_length = 0;
  NumberOf number_of;
  std::function<void(const std::string&)> fail;  // throws Error(data) with file, line and this text
};

// Where pack() adds the target of a sample whose input is already packed.
struct PackedSample {
  Batch& batch;
  TaskSlice& slice;
  std::size_t first_token = 0;  // in the batch
  std::uint64_t key = 0;
  const TokenizerInfo& tokenizer;
  const MaskingOptions& masking;
};

class Target {
 public:
  explicit Target(Kind kind) : kind_(kind) {}
  virtual ~Target() = default;
  Kind kind() const { return kind_; }

  // --- the input ---
  virtual InputForm input_form() const { return InputForm::text; }
  virtual SecondText second_text() const { return SecondText::usual; }
  virtual bool takes_vectors() const { return true; }
  // Returns the text to keep of the input.
  virtual std::string input_text(const Sample& sample) const {
    return sample.second ? sample.text + " " + *sample.second : sample.text;
  }

  // --- files of samples ---
  // Returns the parts of a sample whose input is not vectors.
  virtual const std::vector<PartNames>& parts() const = 0;
  // Whether a format can hold samples of this kind. By default JSONL, TSV and CSV can.
  virtual bool fits(Format format) const {
    return format == Format::jsonl || format == Format::tsv || format == Format::csv;
  }
  // Whether a file of plain text has its targets in a second file.
  virtual bool has_target_files() const { return false; }
  // Returns the language of a part, under which a file may have it too; "" if it is not known, none if parts have no
  // languages.
  virtual std::optional<std::string> language(const SampleFile&, std::string_view) const { return std::nullopt; }
  // Whether numbers that stand for names in the schema of a Parquet file become those names.
  virtual bool takes_class_names() const { return true; }
  virtual void read(const SampleParts& in, Sample& sample) const = 0;

  // --- labels ---
  // Null for a kind without labels.
  virtual const LabelRules* labels() const { return nullptr; }
  virtual std::span<std::string> labels_of(Sample&) const { return {}; }

  // --- shards ---
  // Whether shards have a target; masked_lm draws its own in training.
  virtual bool is_stored() const { return true; }
  // Whether valid and test keep the texts of inputs and targets.
  virtual bool keeps_texts() const { return false; }
  virtual std::string target_text(const Sample&) const { return ""; }
  // Returns the number of values of a target with a fixed number of them.
  virtual std::uint64_t width(const TaskInfo&) const { return 1; }
  // Converts the target of out.sample. Any thread may call it.
  virtual void encode(const EncodingContext&, EncodedSample&) const {}
  // Returns what import says of samples with one of EncodedSample::remarks, as the end of "3 of 10 …".
  virtual std::string_view remark(std::size_t) const { return ""; }
  // Appends the target to the content of a shard. Returns its bytes, besides those of tokens and texts, as far as they
  // count for the size of a shard.
  virtual std::uint64_t append(const EncodedSample&, const NumberOf&, ShardContent&) const { return 0; }
  virtual void write(const ShardContent&, const ColumnWriter&) const {}
  // Opens the columns of the target. Throws Error(data) for any difference from docs/format.md.
  virtual void open(const ShardReader&, const ShardExpectation&, Shard&) const {}

  // --- samples of a data set ---
  virtual void pack(const StoredSample& sample, const PackedSample& out) const = 0;
  // Returns the number of losses that a head computes for a slice, those of targets that are not scored included.
  virtual std::size_t losses(const TaskSlice& slice) const { return static_cast<std::size_t>(slice.sequences); }
  // Returns the target as text. tokens: of the input; empty for vectors.
  virtual std::string show(const StoredSample& sample, const TaskInfo& task, const Tokenizer& tokenizer,
                           std::span<const std::int64_t> tokens) const = 0;
  // Appends the classes of a sample, one per label; kIgnore where there is none.
  virtual void classes(const StoredSample&, std::vector<std::int64_t>&) const {}

 private:
  Kind kind_;
};

const Target& target_of(Kind kind);

// Returns the names of all parts of all kinds.
const std::vector<std::string_view>& part_names();

// Returns names under which files have the only text of a sample.
const std::vector<std::string_view>& usual_text_names();

// Returns the name of a class.
inline const std::string& label_name(const TaskInfo& task, std::int64_t label) {
  return task.labels.at(static_cast<std::size_t>(label));
}

}  // namespace polyhead
