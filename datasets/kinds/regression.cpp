// regression: one or more numbers per sample.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "datasets/target.h"

namespace polyhead {
namespace {

class Regression : public Target {
 public:
  using Target::Target;

  const std::vector<PartNames>& parts() const override {
    static const std::vector<PartNames> all = {
        {"text", usual_text_names(), PartNames::Role::input},
        {"value",
         {"score", "label", "similarity", "similarity_score", "rating", "stars", "relatedness_score", "target", "y"}}};
    return all;
  }
  bool takes_class_names() const override { return false; }
  void read(const SampleParts& in, Sample& sample) const override {
    in.input(sample);
    in.numbers("value", sample);
  }

  std::uint64_t width(const TaskInfo& task) const override { return std::max<std::uint64_t>(task.outputs.size(), 1); }
  std::uint64_t append(const EncodedSample& one, const NumberOf&, ShardContent& content) const override {
    content.value.insert(content.value.end(), one.sample.value.begin(), one.sample.value.end());
    return 0;
  }
  void write(const ShardContent& content, const ColumnWriter& out) const override {
    out.dataset("target/value", content.value, content.width > 1 ? content.width : 0);
  }
  void open(const ShardReader& in, const ShardExpectation& expected, Shard& out) const override {
    out.value =
        in.column("target/value", {ColumnType::f32}, {Rule::What::finite}, expected.outputs > 1 ? expected.outputs : 0);
    in.check_rows(out.value, out.samples() * expected.outputs, "samples x outputs");
  }

  void pack(const StoredSample& sample, const PackedSample& out) const override {
    sample.values(out.slice.values);
    ++out.slice.count;
  }
  std::string show(const StoredSample& sample, const TaskInfo&, const Tokenizer&,
                   std::span<const std::int64_t>) const override {
    std::vector<double> values;
    sample.values(values);
    return fmt::format("{:.4g}", fmt::join(values, ", "));
  }
};

}  // namespace

std::unique_ptr<Target> make_regression(Kind kind) {
  return std::make_unique<Regression>(kind);
}

}  // namespace polyhead
