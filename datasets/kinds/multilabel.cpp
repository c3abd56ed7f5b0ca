// multilabel: any number of labels per sample.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/target.h"

namespace polyhead {
namespace {

class Multilabel : public Target {
 public:
  using Target::Target;

  const std::vector<PartNames>& parts() const override {
    static const std::vector<PartNames> all = {
        {"text", usual_text_names(), PartNames::Role::input},
        {"labels", {"label", "categories", "genres", "genre", "topics", "tags", "emotions", "classes"}}};
    return all;
  }
  void read(const SampleParts& in, Sample& sample) const override {
    in.input(sample);
    sample.labels = in.label_set("labels", sample);
  }

  const LabelRules* labels() const override {
    static const LabelRules rules = {.part = "labels"};
    return &rules;
  }
  std::span<std::string> labels_of(Sample& sample) const override { return sample.labels; }

  std::uint64_t width(const TaskInfo& task) const override { return task.labels.size(); }
  std::uint64_t append(const EncodedSample& one, const NumberOf& number_of, ShardContent& content) const override {
    const std::size_t row = content.labels.size();
    content.labels.resize(row + content.width);
    for (const std::string& label : one.sample.labels) content.labels[row + number_of(label)] = 1;
    return content.width;
  }
  void write(const ShardContent& content, const ColumnWriter& out) const override {
    out.dataset("target/labels", content.labels, content.width);
  }
  void open(const ShardReader& in, const ShardExpectation& expected, Shard& out) const override {
    out.labels = in.column("target/labels", {ColumnType::u8}, {Rule::What::zero_one}, expected.classes);
    in.check_rows(out.labels, out.samples() * expected.classes, "samples x classes");
  }

  void pack(const StoredSample& sample, const PackedSample& out) const override {
    sample.labels(out.slice.labels);
    ++out.slice.count;
  }
  std::string show(const StoredSample& sample, const TaskInfo& task, const Tokenizer&,
                   std::span<const std::int64_t>) const override {
    std::vector<std::int64_t> all;
    classes(sample, all);
    std::vector<std::string> names;
    for (const std::int64_t c : all)
      if (c != kIgnore) names.push_back(label_name(task, c));
    return fmt::format("{}", fmt::join(names, ", "));
  }
  void classes(const StoredSample& sample, std::vector<std::int64_t>& out) const override {
    const std::size_t first = out.size();
    sample.labels(out);
    for (std::size_t c = first; c < out.size(); ++c)
      out[c] = out[c] != 0 ? static_cast<std::int64_t>(c - first) : kIgnore;
  }
};

}  // namespace

std::unique_ptr<Target> make_multilabel(Kind kind) {
  return std::make_unique<Multilabel>(kind);
}

}  // namespace polyhead
