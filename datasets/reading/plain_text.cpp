// Reads one text per line. For translation, line i of a second file is the target of line i.
#include <fmt/format.h>

#include "core/base/error.h"
#include "datasets/reading/line_reader.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {
namespace {

class PlainText : public SampleSource {
 public:
  explicit PlainText(const SampleFile& file) : file_(file), in_(file) {
    if (!file.target.empty()) target_ = std::make_unique<LineReader>(file, file.target);
  }

  bool next(Record& record) override {
    do {
      const bool here = in_.next(record.content);
      const bool there = target_ ? target_->next(record.target) : here;
      if (here != there) fail_counts(record);
      if (!here) return false;
    } while (blank(record.content) && blank(record.target));
    record.line = in_.number();
    return true;
  }

  Sample parse(const Record& record) const override {
    Sample sample;
    check_text(file_, record.line, "text", record.content);
    sample.text = record.content;
    if (!target_) return sample;
    SampleFile beside = file_;
    beside.file = file_.target;
    check_text(beside, record.line, "target", record.target);
    sample.target = record.target;
    return sample;
  }

 private:
  [[noreturn]] void fail_counts(Record& record) {
    while (in_.next(record.content)) {
    }
    while (target_->next(record.target)) {
    }
    throw Error(Exit::data,
                fmt::format("task '{}': its {} file {} has {} lines, but {} has {}; line i of one must be the "
                            "translation of line i of the other",
                            file_.task, file_.split, file_.file.string(), in_.number(), file_.target.string(),
                            target_->number()));
  }

  const SampleFile& file_;
  LineReader in_;
  std::unique_ptr<LineReader> target_;
};

}  // namespace

std::unique_ptr<SampleSource> open_text(const SampleFile& file) {
  return std::make_unique<PlainText>(file);
}

}  // namespace polyhead
