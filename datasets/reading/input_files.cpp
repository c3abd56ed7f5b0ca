// Copies pipes next to the data set, and compares regular files by the hash of their bytes.
#include "datasets/reading/input_files.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "core/base/descriptor.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/text.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr int kPipeSeconds = 60;  // maximum wait for the first bytes of a pipe

[[noreturn]] void fail(const SampleFile& owner, const fs::path& file, const std::string& what) {
  throw Error(Exit::data, fmt::format("task '{}': its {} file {} {}", owner.task, owner.split, file.string(), what));
}

std::string reason() {
  return std::system_category().message(errno);
}

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

std::vector<fs::path> matching(const fs::path& pattern) {
  ::glob_t found{};
  std::vector<fs::path> files;
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  std::sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return files;
}

}  // namespace

InputFiles::InputFiles(fs::path folder, std::function<void(const std::string&)> report)
    : folder_(std::move(folder)), report_(std::move(report)) {}

InputFiles::~InputFiles() {
  remove_copies();
}

void InputFiles::remove_copies() {
  std::error_code ignored;
  if (std::any_of(contents_.begin(), contents_.end(), [](const auto& one) { return one.first != one.second; }))
    fs::remove_all(folder_, ignored);
}

const fs::path& InputFiles::content(const SampleFile& owner, const fs::path& file) {
  const auto known = contents_.find(file);
  if (known != contents_.end()) return known->second;
  struct stat about {};
  fs::path content = file;
  // Errors are reported where the file is opened.
  if (::stat(file.c_str(), &about) == 0) {
    if (S_ISFIFO(about.st_mode)) content = copy_pipe(owner, file);
    if (S_ISCHR(about.st_mode) || S_ISBLK(about.st_mode) || S_ISSOCK(about.st_mode))
      fail(owner, file, "is a device or a socket, expected a file or a pipe; correct the path");
  }
  return contents_.emplace(file, std::move(content)).first->second;
}

fs::path InputFiles::copy_pipe(const SampleFile& owner, const fs::path& file) {
  say(fmt::format("task '{}': {} is a pipe; it is read once, into a copy next to the data set", owner.task,
                  file.string()));
  const Descriptor pipe(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (pipe.get() < 0) fail(owner, file, fmt::format("cannot be opened: {}", reason()));
  pollfd wait{pipe.get(), POLLIN, 0};
  int ready = 0;
  while ((ready = ::poll(&wait, 1, kPipeSeconds * 1000)) < 0 && errno == EINTR) {
  }
  if (ready <= 0)
    fail(owner, file,
         fmt::format("is a pipe that no program has written to for {} s; start what writes to it, or name "
                     "a file",
                     kPipeSeconds));
  ::fcntl(pipe.get(), F_SETFL, 0);
  fs::create_directories(folder_);
  const fs::path copy = folder_ / fmt::format("pipe-{}", contents_.size());
  const Descriptor out(::open(copy.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const auto cannot_write = [&] {
    throw Error(Exit::cannot_write, fmt::format("cannot copy the pipe {} to {}: {}; make room there, or write the "
                                                "samples to a file first",
                                                file.string(), copy.string(), reason()));
  };
  if (out.get() < 0) cannot_write();
  std::string buffer(1 << 20, '\0');
  for (;;) {
    const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(owner, file, fmt::format("cannot be read: {}", reason()));
    if (got == 0) return copy;
    for (ssize_t at = 0; at < got;) {
      const ssize_t put = ::write(out.get(), buffer.data() + at, static_cast<std::size_t>(got - at));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) cannot_write();
      at += put;
    }
  }
}

void InputFiles::finished(const SampleFile& owner, const fs::path& file, std::uint64_t hash) {
  const auto [known, fresh] = hashes_.try_emplace(file, hash);
  if (fresh || known->second == hash) return;
  SampleFile changed = owner;
  changed.file = file;
  fail_changed(changed, "its bytes are not those of the first reading");
}

void InputFiles::say(const std::string& line) {
  if (said_.insert(line).second && report_) report_(line);
}

void fail_changed(const SampleFile& file, const std::string& what) {
  throw Error(Exit::data,
              fmt::format("task '{}': its {} file {} was changed while import read it: {}; import it when no program "
                          "writes to it any more, or import a copy",
                          file.task, file.split, file.file.string(), what));
}

std::vector<fs::path> find_files(const std::string& list, const fs::path& folder, const std::string& what) {
  const auto absolute = [&](std::string_view name) { return fs::absolute(folder / name).lexically_normal(); };
  if (is_there(absolute(list))) return {absolute(list)};  // a name may contain commas and pattern characters
  std::vector<fs::path> all;
  for (std::string_view rest = list; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view name = trim(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (name.empty()) continue;
    const fs::path path = absolute(name);
    if (is_there(path) || name.find_first_of("*?[") == std::string_view::npos) {
      all.push_back(path);
      continue;
    }
    const std::vector<fs::path> found = matching(path);
    if (found.empty())
      throw Error(Exit::data, fmt::format("{} = {}: no file has a name like {}; correct the pattern (it is relative to "
                                          "{})",
                                          what, list, path.string(), folder.string()));
    all.insert(all.end(), found.begin(), found.end());
  }
  for (auto one = all.begin(); one != all.end(); ++one)
    if (std::find(all.begin(), one, *one) != one)
      throw Error(Exit::data, fmt::format("{} = {}: it names {} twice; leave one of them out, as its samples would "
                                          "count twice",
                                          what, list, one->string()));
  return all;
}

}  // namespace polyhead
