// Lines out of a buffer of 1 MiB.
#include "datasets/line_reader.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "core/base/error.h"

namespace polyhead {

LineReader::LineReader(const SampleFile& owner, const std::filesystem::path& file)
    : owner_(owner), file_(file), in_(file, std::ios::binary), buffer_(1 << 20, '\0') {
  if (!in_ || std::filesystem::is_directory(file))
    throw Error(Exit::data,
                fmt::format("task '{}': cannot open its {} file {}: {}; correct the path in the import description "
                            "(paths are relative to it)",
                            owner.task, owner.split, file.string(),
                            std::system_category().message(errno != 0 ? errno : EISDIR)));
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
      in_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
      rest_ = std::string_view(buffer_).substr(0, static_cast<std::size_t>(in_.gcount()));
      if (in_.bad()) owner_.fail(number_ + 1, "cannot be read: " + std::system_category().message(errno));
      if (number_ == 0 && !any && rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
      if (rest_.empty()) {
        if (any) ++number_;
        return any;
      }
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
