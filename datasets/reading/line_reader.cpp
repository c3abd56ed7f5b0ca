// Splits a buffer of 1 MiB into lines.
#include "datasets/reading/line_reader.h"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "core/base/error.h"
#include "datasets/reading/input_files.h"
#include "datasets/target.h"

namespace polyhead {

LineReader::LineReader(const SampleFile& owner, const std::filesystem::path& file)
    : owner_(owner), buffer_(1 << 20, '\0') {
  owner_.file = file;
  owner_.rest.clear();
  const auto cannot_open = [&](const std::string& why) {
    throw Error(Exit::data,
                fmt::format("task '{}': cannot open its {} file {}: {}; correct the path in the import description "
                            "(paths are relative to it)",
                            owner.task, owner.split, file.string(), why));
  };
  try {
    in_ = std::make_unique<ByteStream>(owner.inputs ? owner.inputs->content(owner, file) : file, file,
                                       owner.label_names.empty() && target_of(owner.kind).takes_class_names());
  } catch (const std::system_error& error) {
    cannot_open(error.code().message());
  } catch (const BadStream& error) {
    throw Error(Exit::data,
                fmt::format("task '{}': its {} file {} {}", owner.task, owner.split, file.string(), error.what()));
  }
  if (in_->parquet() == nullptr) return;
  if (owner.format != Format::jsonl)
    throw Error(
        Exit::data,
        fmt::format("task '{}': its {} file {} is Parquet, but is to be read as {}; write 'format = jsonl', as "
                    "rows of Parquet are read like objects of JSON Lines",
                    owner.task, owner.split, file.string(), kFormatNames[static_cast<std::size_t>(owner.format)]));
  if (owner.inputs)
    for (const std::string& note : in_->parquet()->notes())
      owner.inputs->say(fmt::format("task '{}': {} {}", owner.task, file.string(), note));
}

// Reads the next block; false at the end of the file.
bool LineReader::fill() {
  if (in_ == nullptr) return false;
  std::size_t size = 0;
  try {
    size = in_->read(buffer_);
  } catch (const BadStream& error) {
    owner_.fail(number_ + 1, error.what());
  }
  rest_ = std::string_view(buffer_).substr(0, size);
  if (size > 0) return true;
  if (owner_.inputs) owner_.inputs->finished(owner_, owner_.file, in_->hash());
  in_.reset();
  buffer_ = {};
  return false;
}

bool LineReader::append(std::string& out) {
  const auto add = [&](std::string_view piece) {
    if (out.size() + piece.size() > kMaxRecord)
      owner_.fail(number_ + 1, fmt::format("is, or belongs to, a record of more than {} MiB; split it, close an open "
                                           "quote before it, or take it out",
                                           kMaxRecord >> 20));
    out += piece;
  };
  for (bool any = false;;) {
    if (rest_.empty()) {
      if (!fill()) {
        if (any) ++number_;
        return any;
      }
      if (number_ == 0 && !any && rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
      if (rest_.empty()) continue;
    }
    any = true;
    const std::size_t end = rest_.find('\n');
    add(rest_.substr(0, end));
    if (end != std::string_view::npos) {
      rest_.remove_prefix(end + 1);
      ++number_;
      return true;
    }
    rest_ = {};
  }
}

bool LineReader::next(std::string& line) {
  line.clear();
  if (!append(line)) return false;
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

}  // namespace polyhead
