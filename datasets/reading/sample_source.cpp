// Chooses the source of a format, and normalises the labels of its samples.
#include "datasets/reading/sample_source.h"

#include "core/base/error.h"
#include "datasets/kinds/labels.h"

namespace polyhead {
namespace {

std::unique_ptr<SampleSource> open_format(const SampleFile& file) {
  switch (file.format) {
    case Format::jsonl:
      return open_jsonl(file);
    case Format::tsv:
    case Format::csv:
      return open_delimited(file);
    case Format::text:
      return open_text(file);
    case Format::conllu:
      return open_conllu(file);
    case Format::conll:
      return open_conll(file);
  }
  throw Error(Exit::internal, "a format without a reader");
}

class Tidied : public SampleSource {
 public:
  explicit Tidied(const SampleFile& file) : file_(file), source_(open_format(file)) {}
  bool next(Record& record) override { return source_->next(record); }
  Sample parse(const Record& record) const override {
    Sample sample = source_->parse(record);
    if (!sample.left_out) tidy_labels(file_, record.line, sample);
    return sample;
  }

 private:
  const SampleFile& file_;
  std::unique_ptr<SampleSource> source_;
};

}  // namespace

std::unique_ptr<SampleSource> open_samples(const SampleFile& file) {
  return std::make_unique<Tidied>(file);
}

}  // namespace polyhead
