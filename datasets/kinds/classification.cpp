// classification: one label per sample.
#include "datasets/target.h"

namespace polyhead {
namespace {

class Classification : public Target {
 public:
  using Target::Target;

  const std::vector<PartNames>& parts() const override {
    static const std::vector<PartNames> all = {
        {"text", usual_text_names(), PartNames::Role::input},
        {"label",
         {"gold_label", "category", "class", "class_label", "class index", "sentiment", "intent", "polarity", "emotion",
          "is_duplicate", "label_id", "coarse_label", "stars", "fine_label", "rating", "topic", "language", "relation",
          "labels"}}};
    return all;
  }
  void read(const SampleParts& in, Sample& sample) const override {
    in.input(sample);
    sample.label = in.label("label", sample);
  }

  const LabelRules* labels() const override {
    static const LabelRules rules = {.part = "label", .optional = true};
    return &rules;
  }
  std::span<std::string> labels_of(Sample& sample) const override { return {&sample.label, 1}; }

  std::uint64_t append(const EncodedSample& one, const NumberOf& number_of, ShardContent& content) const override {
    content.label.push_back(number_of(one.sample.label));
    return 0;
  }
  void write(const ShardContent& content, const ColumnWriter& out) const override {
    out.dataset("target/label", content.label);
  }
  void open(const ShardReader& in, const ShardExpectation& expected, Shard& out) const override {
    out.label = in.column("target/label", {ColumnType::u32}, {Rule::What::label, expected.classes});
    in.check_rows(out.label, out.samples(), "samples");
  }

  void pack(const StoredSample& sample, const PackedSample& out) const override {
    out.slice.labels.push_back(sample.label());
    ++out.slice.count;
  }
  std::string show(const StoredSample& sample, const TaskInfo& task, const Tokenizer&,
                   std::span<const std::int64_t>) const override {
    return label_name(task, sample.label());
  }
  void classes(const StoredSample& sample, std::vector<std::int64_t>& out) const override {
    out.push_back(sample.label());
  }
};

}  // namespace

std::unique_ptr<Target> make_classification(Kind kind) {
  return std::make_unique<Classification>(kind);
}

}  // namespace polyhead
