// Reads rows with Arrow's reader of record batches, which keeps the pages of one row group and one decoded batch in
// memory.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/key_value_metadata.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>

#include "datasets/reading/parquet/module/class_names.h"
#include "datasets/reading/parquet/module/entry.h"
#include "datasets/reading/parquet/module/json_values.h"

namespace polyhead {
namespace {

constexpr std::int64_t kBatchRows = 1024;

[[noreturn]] void fail_damaged(const std::string& why) {
  throw std::runtime_error(
      fmt::format("is Parquet that cannot be read: {}; it is damaged or cut off, so get the file again",
                  why.substr(0, why.find('\n'))));
}

void check(const arrow::Status& status) {
  if (!status.ok()) fail_damaged(status.message());
}

template <class Value>
Value checked(arrow::Result<Value> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

// Arrow reports most errors as a Status; the layers below throw exceptions.
template <class Work>
auto guarded(Work work) try {
  return work();
} catch (const std::runtime_error&) {
  throw;
} catch (const std::exception& error) {
  fail_damaged(error.what());
}

void collect_leaves(const parquet::arrow::SchemaField& field, std::vector<int>& leaves) {
  if (field.is_leaf()) leaves.push_back(field.column_index);
  for (const auto& child : field.children) collect_leaves(child, leaves);
}

class Rows : public ParquetRows {
 public:
  Rows(int descriptor, bool name_classes) {
    open(descriptor);
    std::map<std::string, std::vector<std::string>> classes;
    std::shared_ptr<arrow::Schema> schema;
    check(reader_->GetSchema(&schema));
    if (name_classes && schema->metadata() != nullptr)
      classes = class_names(schema->metadata()->Get("huggingface").ValueOr(""));
    std::vector<int> leaves;
    for (const auto& field : reader_->manifest().schema_fields) {
      const std::string& name = field.field->name();
      if (!has_json(*field.field->type())) {
        left_out_.push_back(fmt::format("'{}' ({})", name, field.field->type()->ToString()));
        continue;
      }
      collect_leaves(field, leaves);
      Column& column = columns_.emplace_back();
      append_text(name, column.key);
      column.key += ':';
      column.classes = classes[name];
      if (!column.classes.empty()) named_.push_back(fmt::format("'{}'", name));
    }
    if (columns_.empty())
      throw std::runtime_error(fmt::format("is Parquet without a column of texts or numbers; it has {}",
                                           left_out_.empty() ? "none" : fmt::format("{}", fmt::join(left_out_, ", "))));
    std::vector<int> groups(static_cast<std::size_t>(reader_->num_row_groups()));
    for (std::size_t g = 0; g < groups.size(); ++g) groups[g] = static_cast<int>(g);
    batches_ = checked(reader_->GetRecordBatchReader(groups, leaves));
  }

  bool next(std::string& lines) override {
    return guarded([&] {
      std::shared_ptr<arrow::RecordBatch> batch;
      check(batches_->ReadNext(&batch));
      if (batch == nullptr) return false;
      check(batch->Validate());
      if (static_cast<std::size_t>(batch->num_columns()) != columns_.size()) fail_damaged("a column is missing");
      for (std::int64_t row = 0; row < batch->num_rows(); ++row) append_row(*batch, row, lines);
      return true;
    });
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> all;
    if (!left_out_.empty())
      all.push_back(fmt::format("has columns that are neither text nor numbers, which are left out: {}",
                                fmt::join(left_out_, ", ")));
    if (!named_.empty())
      all.push_back(fmt::format("names its classes in its schema; the names stand for the numbers of {}",
                                fmt::join(named_, ", ")));
    return all;
  }

 private:
  struct Column {
    std::string key;                   // as JSON, with its colon
    std::vector<std::string> classes;  // names of 0, 1, …, or empty
  };

  void open(int descriptor) {
    const int own = ::dup(descriptor);
    if (own < 0) throw std::runtime_error("cannot be read: " + std::system_category().message(errno));
    const auto file = checked(arrow::io::ReadableFile::Open(own));
    parquet::ReaderProperties properties;
    properties.enable_buffered_stream();
    properties.set_page_checksum_verification(true);
    parquet::ArrowReaderProperties reading;
    reading.set_use_threads(false);
    reading.set_pre_buffer(false);
    reading.set_batch_size(kBatchRows);
    parquet::arrow::FileReaderBuilder builder;
    check(builder.Open(file, properties));
    if (builder.raw_reader()->metadata()->is_encryption_algorithm_set())
      throw std::runtime_error("is Parquet with encrypted columns; write it without encryption");
    reader_ = checked(builder.properties(reading)->Build());
  }

  void append_row(const arrow::RecordBatch& batch, std::int64_t row, std::string& lines) const {
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const Column& column = columns_[c];
      (lines += c == 0 ? '{' : ',') += column.key;
      append_value(*batch.column(static_cast<int>(c)), row, column.classes.empty() ? nullptr : &column.classes, lines);
    }
    lines += "}\n";
  }

  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;  // destroyed before the reader that it uses
  std::vector<Column> columns_;                        // columns that are read, in the order of a batch
  std::vector<std::string> left_out_, named_;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) ParquetRows* polyhead_open_parquet_rows(int descriptor,
                                                                                          bool name_classes) {
  return guarded([&]() -> ParquetRows* { return new Rows(descriptor, name_classes); });
}

}  // namespace polyhead
