// Files that are opened again after they were touched, rewritten or replaced, and a limit on open files.
#include "datasets/file_pool.h"

#include <sys/resource.h>

#include <chrono>
#include <fstream>

#include "core/base/files.h"
#include "datasets/known_content.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

class FilePoolTest : public FolderTest {
 protected:
  fs::path write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name) << content;
    return folder_ / name;
  }
  static void touch(const fs::path& file) {
    fs::last_write_time(file, fs::file_time_type::clock::now() + std::chrono::seconds(5));
  }
  static std::string content(PooledFile& file) {
    const auto open = file.pin();
    std::string out(open->bytes(), '\0');
    if (open->map() != nullptr)
      out.assign(reinterpret_cast<const char*>(open->map()), out.size());
    else
      open->read(0, out.size(), reinterpret_cast<std::byte*>(out.data()));
    return out;
  }
};

// A file as a shard opens it.
class Opened {
 public:
  Opened(const fs::path& path, bool map, const std::string& sha256) : file_(path, map, std::make_shared<FilePool>(4)) {
    know_content(path, sha256);
  }
  PooledFile& operator*() { return file_; }

 private:
  PooledFile file_;
};

TEST_F(FilePoolTest, ATouchedFileIsTheSameFile) {
  for (const bool map : {true, false}) {
    const fs::path path = write("a.h5", "content");
    Opened file(path, map, sha256("content"));
    touch(path);
    EXPECT_EQ(content(*file), "content");
    touch(path);
    check_content(path);  // it stays open now
    EXPECT_EQ(content(*file), "content");
  }
}

TEST_F(FilePoolTest, AnotherFileOfTheSameSizeIsNamed) {
  const std::vector<std::string> words = {"a.h5", "rewritten or replaced", "7 bytes", "SHA-256"};
  const std::string hash = sha256("content");
  const fs::path path = write("a.h5", "content");
  {
    Opened file(path, true, hash);
    touch(write("a.h5", "CONTENT"));
    expect_error(Exit::data, words, [&] { content(*file); });
  }
  {  // Renamed over it, with the time of the old one.
    Opened file(write("a.h5", "content"), true, hash);
    const auto time = fs::last_write_time(path);
    fs::rename(write("b.h5", "CONTENT"), path);
    fs::last_write_time(path, time);
    expect_error(Exit::data, words, [&] { content(*file); });
  }
  // While it stays open, mapped.
  fs::remove(path);
  Opened file(write("a.h5", "content"), true, hash);
  EXPECT_EQ(content(*file), "content");
  check_content(path);
  touch(write("a.h5", "CONTENT"));
  expect_error(Exit::data, words, [&] { check_content(path); });
  touch(write("a.h5", "longer content"));
  expect_error(Exit::data, {"a.h5", "7 bytes", "14 now"}, [&] { check_content(path); });
  fs::remove(path);
  check_content(path);  // what is open stays readable
}

TEST_F(FilePoolTest, WithoutAHashATouchedFileIsRefused) {
  const fs::path path = write("a.h5", "content");
  Opened file(path, true, "");
  touch(path);
  expect_error(Exit::data, {"a.h5", "no sha256", "verify --rehash"}, [&] { content(*file); });
}

// How many files this process may have open, for a while.
class OpenFileLimit {
 public:
  OpenFileLimit() { ::getrlimit(RLIMIT_NOFILE, &before_); }
  ~OpenFileLimit() { set(before_.rlim_cur); }
  OpenFileLimit(const OpenFileLimit&) = delete;
  OpenFileLimit& operator=(const OpenFileLimit&) = delete;
  void set(rlim_t files) const {
    rlimit limit = before_;
    limit.rlim_cur = files;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  void restore() const { set(before_.rlim_cur); }

 private:
  rlimit before_{};
};

// A bound on open files that the process reaches: the pool closes others.
TEST_F(FilePoolTest, MakesRoomWhereFewFilesMayBeOpen) {
  const OpenFileLimit limit;
  const auto open_now =
      static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
  const auto pool = std::make_shared<FilePool>(8);
  std::vector<std::unique_ptr<PooledFile>> files;
  for (int i = 0; i < 40; ++i)
    files.push_back(
        std::make_unique<PooledFile>(write(std::to_string(i), "content " + std::to_string(i)), false, pool));
  limit.set(open_now + 6);
  for (int round = 0; round < 3; ++round)
    for (std::size_t i = 0; i < files.size(); ++i)
      EXPECT_EQ(content(*files[i * 7 % files.size()]), "content " + std::to_string(i * 7 % files.size()));
  limit.set(3);  // none is left
  PooledFile* closed = files[0].get();
  expect_error(Exit::data, {"Too many open files", "ulimit -n"}, [&] {
    for (const auto& file : files) closed = file.get(), content(*closed);
  });
  limit.restore();
  EXPECT_EQ(content(*closed).substr(0, 8), "content ");
}

}  // namespace
}  // namespace polyhead
