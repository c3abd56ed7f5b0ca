// Opens only regular files, and reads by position, so that several readers can share a file.
#include "core/base/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/progress.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;

std::string reason(int error) {
  return std::system_category().message(error);
}

}  // namespace

RegularFile::RegularFile(const fs::path& file) : path_(file) {
  // Opening a pipe would wait for its writer.
  descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    const int error = errno;
    if (error == EMFILE || error == ENFILE)
      throw Error(Exit::internal,
                  fmt::format("cannot open {}: {}; raise the limit with ulimit -n", file.string(), reason(error)));
    throw Error(Exit::data, fmt::format("cannot open {}: {}", file.string(), reason(error)));
  }
  struct stat found {};
  if (::fstat(descriptor_, &found) != 0 || !S_ISREG(found.st_mode)) {
    ::close(descriptor_);
    throw Error(Exit::data, fmt::format("cannot read {}: it is a folder, a device or a pipe, expected a regular file",
                                        file.string()));
  }
  size_ = static_cast<std::uint64_t>(found.st_size);
}

RegularFile::RegularFile(RegularFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

RegularFile::~RegularFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RegularFile::each_piece(std::uint64_t bytes, const std::function<void(std::string_view)>& take) const {
  std::string buffer(std::min(bytes, kPiece), '\0');
  for (std::uint64_t at = 0; at < bytes;) {
    const ssize_t got =
        ::pread(descriptor_, buffer.data(), std::min<std::uint64_t>(buffer.size(), bytes - at), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(Exit::data, fmt::format("cannot read {}: {}", path_.string(), reason(errno)));
    if (got == 0)
      throw Error(Exit::data,
                  fmt::format("cannot read {}: it became shorter, {} of {} bytes", path_.string(), at, size_));
    note_progress();
    take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    at += static_cast<std::uint64_t>(got);
  }
}

std::string RegularFile::read(std::uint64_t bytes) const {
  bytes = std::min(bytes, size_);
  std::string content;
  try {
    content.reserve(bytes);
  } catch (const std::exception&) {
    throw Error(Exit::data, fmt::format("cannot read {}: there is no memory for its {} bytes", path_.string(), bytes));
  }
  each_piece(bytes, [&](std::string_view piece) { content += piece; });
  return content;
}

std::uint64_t RegularFile::hash() const {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  each_piece(size_, [&](std::string_view piece) { XXH3_64bits_update(state.get(), piece.data(), piece.size()); });
  return XXH3_64bits_digest(state.get());
}

}  // namespace polyhead
