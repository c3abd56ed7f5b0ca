// The temporary file is FILE.partial-PROCESS. It is created exclusively, so no file is overwritten.
#include "launch/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const std::string& what) {
  throw Error(Exit::cannot_write, fmt::format("{}: {}; check --out", file.string(), what));
}

}  // namespace

OutputFile::OutputFile(const std::optional<fs::path>& file) {
  if (!file) return;
  struct stat status {};
  const bool there = ::stat(file->c_str(), &status) == 0;
  if (there && S_ISDIR(status.st_mode)) fail(*file, "it is a folder, not a file to write to");
  if (there && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(file->c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(*file, fmt::format("it cannot be written ({})", std::strerror(errno)));
    return;
  }
  if (there && ::access(file->c_str(), W_OK) != 0)
    fail(*file, fmt::format("it cannot be written ({})", std::strerror(errno)));
  std::error_code code;
  target_ = there ? fs::canonical(*file, code) : fs::weakly_canonical(*file, code);
  if (code) target_ = *file;
  open_beside(*file);
  if (there) ::fchmod(descriptor_, status.st_mode & 07777);
}

void OutputFile::open_beside(const fs::path& given) {
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    beside_ =
        fmt::format("{}.partial-{}{}", target_.string(), ::getpid(), attempt == 0 ? "" : fmt::format("-{}", attempt));
    descriptor_ = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST)
      fail(given, fmt::format("it cannot be written, as no temporary file can be created next to it ({})",
                              std::strerror(errno)));
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!committed_) abandon();
}

fs::path OutputFile::abandon() const {
  std::error_code ignored;
  if (!beside_.empty() && !written_) fs::remove(beside_, ignored);
  return partial();
}

void OutputFile::write(std::string_view text) {
  const char* what = "the predictions cannot be written: the output is closed or the disk is full";
  if (!text.empty()) written_ = true;
  if (descriptor_ < 0) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw Error(Exit::cannot_write, what);
    return;
  }
  while (!text.empty()) {
    const ssize_t done = ::write(descriptor_, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw Error(Exit::cannot_write, fmt::format("{} ({})", what, std::strerror(errno)));
    text.remove_prefix(static_cast<std::size_t>(done));
  }
}

void OutputFile::commit() {
  if (beside_.empty()) return;
  if (::fsync(descriptor_) != 0) fail(target_, fmt::format("it cannot be written ({})", std::strerror(errno)));
  rename_and_sync(beside_, target_);
  committed_ = true;
}

}  // namespace polyhead
