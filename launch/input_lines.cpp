// Reads the file descriptor without a stdio buffer, so that poll() sees all available input.
#include "launch/input_lines.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {
namespace {

constexpr std::size_t kBlock = 1 << 16;

}  // namespace

InputLines::InputLines(const std::optional<std::filesystem::path>& file)
    : name_(file ? file->string() : "standard input") {
  if (file) {
    descriptor_ = ::open(file->c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0)
      throw Error(Exit::data, fmt::format("{}: it cannot be opened ({}); check --in", name_, std::strerror(errno)));
    owned_ = true;
  }
  struct stat status {};
  if (::fstat(descriptor_, &status) == 0 && S_ISDIR(status.st_mode)) {
    if (owned_) ::close(descriptor_);
    throw Error(Exit::data, fmt::format("{}: it is a folder; give a file of JSON Lines with --in", name_));
  }
}

InputLines::~InputLines() {
  if (owned_) ::close(descriptor_);
}

InputLines::Next InputLines::next(std::string& line, bool wait) {
  for (;;) {
    if (take_line(line)) return Next::line;
    if (ended_) return Next::end;
    if (!wait) {
      pollfd waiting{.fd = descriptor_, .events = POLLIN, .revents = 0};
      const int ready = ::poll(&waiting, 1, kMoment);
      if (ready == 0 || (ready < 0 && errno == EINTR)) return Next::waiting;
    }
    ended_ = !read_more();
  }
}

bool InputLines::take_line(std::string& line) {
  const std::size_t end = buffer_.find('\n', searched_);
  if (end == std::string::npos && !(ended_ && taken_ < buffer_.size())) {
    searched_ = buffer_.size();
    if (searched_ - taken_ > kMaxRecord)
      throw Error(Exit::data, fmt::format("{}:{}: the line is longer than {} MiB; cut it, or take it out", name_,
                                          number_ + 1, kMaxRecord >> 20));
    return false;
  }
  const std::size_t stop = std::min(end, buffer_.size());
  line.assign(buffer_, taken_, stop - taken_);
  taken_ = searched_ = std::min(stop + 1, buffer_.size());
  ++number_;
  return true;
}

bool InputLines::read_more() {
  buffer_.erase(0, taken_);
  searched_ -= taken_;
  taken_ = 0;
  const std::size_t before = buffer_.size();
  buffer_.resize(before + kBlock);
  ssize_t got = 0;
  do got = ::read(descriptor_, buffer_.data() + before, kBlock);
  while (got < 0 && errno == EINTR);
  buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0)
    throw Error(Exit::data,
                fmt::format("{}: it cannot be read after line {}: {}", name_, number_, std::strerror(errno)));
  return got > 0;
}

bool InputLines::is_file_of(int descriptor) const {
  struct stat mine {
  }, other{};
  return ::fstat(descriptor_, &mine) == 0 && ::fstat(descriptor, &other) == 0 && S_ISREG(mine.st_mode) &&
         mine.st_dev == other.st_dev && mine.st_ino == other.st_ino;
}

}  // namespace polyhead
