// Atomic writing, its failures, and SHA-256 on the standard's examples.
#include "core/base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/regular_file.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

using Files = FolderTest;

Exit code_of(const std::function<void()>& call, const std::string& word) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    return error.code();
  }
  return Exit::done;
}

TEST_F(Files, WritesWholeFilesAndReadsThem) {
  const std::string content(3'000'001, '\xfe');
  write_file_atomically(folder_ / "a", "before");
  write_file_atomically(folder_ / "a", content);
  EXPECT_EQ(read_file(folder_ / "a"), content);
  EXPECT_FALSE(fs::exists(folder_ / "a.tmp"));
  write_file_atomically(folder_ / "b", "");
  EXPECT_EQ(read_file(folder_ / "b"), "");
}

TEST_F(Files, LeavesNothingOfAFileThatWasNotCommitted) {
  {
    AtomicFile file(folder_ / "a");
    file.write(std::string_view("half"));
    EXPECT_TRUE(fs::exists(folder_ / "a.tmp"));
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Files, NamesFileAndReasonOfAFailure) {
  EXPECT_EQ(code_of([&] { read_file(folder_ / "none"); }, "none: No such file"), Exit::data);
  EXPECT_EQ(code_of([&] { read_file(folder_); }, "directory"), Exit::data);
  EXPECT_EQ(code_of([&] { sha256_file(folder_ / "none"); }, "none: No such file"), Exit::data);
  EXPECT_EQ(code_of([&] { write_file_atomically(folder_ / "none" / "a", "x"); }, "a.tmp: No such file"),
            Exit::cannot_write);
  EXPECT_EQ(code_of([&] { sync_path(folder_ / "none"); }, "none: No such file"), Exit::cannot_write);
  EXPECT_EQ(code_of([&] { rename_and_sync(folder_ / "none", folder_ / "a"); }, "No such file"), Exit::cannot_write);
  EXPECT_EQ(code_of([&] { AtomicFile("/dev/full/x"); }, "/dev/full/x.tmp"), Exit::cannot_write);
}

TEST_F(Files, SaysWhenTheDiskIsFull) {
  fs::create_symlink("/dev/full", folder_ / "a.tmp");  // opened as the temporary file: every write fails with ENOSPC
  EXPECT_EQ(code_of([&] { write_file_atomically(folder_ / "a", "x"); }, "No space left"), Exit::cannot_write);
  EXPECT_FALSE(fs::exists(folder_ / "a"));
}

TEST_F(Files, SyncsAFileInTheWorkingFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  write_file_atomically("bare", "x");
  fs::current_path(before);
  EXPECT_EQ(read_file(folder_ / "bare"), "x");
}

TEST_F(Files, LeavesNothingOfAFileThatCannotTakeItsPlace) {
  fs::create_directory(folder_ / "a");
  EXPECT_EQ(code_of([&] { write_file_atomically(folder_ / "a", "x"); }, "cannot rename"), Exit::cannot_write);
  EXPECT_FALSE(fs::exists(folder_ / "a.tmp"));
}

TEST_F(Files, ARegularFileStaysReadableWithoutItsName) {
  const std::string content(3'000'001, '\xfe');
  write_file_atomically(folder_ / "a", content);
  const RegularFile file(folder_ / "a");
  fs::remove(folder_ / "a");
  EXPECT_EQ(file.size(), content.size());
  EXPECT_EQ(file.read(), content);
  EXPECT_EQ(file.read(5), content.substr(0, 5));
  EXPECT_EQ(file.hash(), hash_bytes(content));
}

TEST_F(Files, ARegularFileIsNoFolderDeviceOrPipe) {
  const auto open = [](const fs::path& file) { return [file] { const RegularFile opened(file); }; };
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  for (const fs::path& file : {folder_, folder_ / "pipe", fs::path("/dev/zero")})
    EXPECT_EQ(code_of(open(file), "expected a regular file"), Exit::data) << file;
  EXPECT_EQ(code_of(open(folder_ / "none"), "none: No such file"), Exit::data);
}

TEST_F(Files, ARegularFileThatBecomesShorterIsAnError) {
  write_file_atomically(folder_ / "a", "12345678");
  const RegularFile file(folder_ / "a");
  fs::resize_file(folder_ / "a", 3);
  EXPECT_EQ(code_of([&] { file.read(); }, "became shorter"), Exit::data);
}

TEST_F(Files, Sha256OfTheStandardsExamples) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1'000'000, 'a');
  EXPECT_EQ(sha256(million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  write_file_atomically(folder_ / "million", million);
  EXPECT_EQ(sha256_file(folder_ / "million"), sha256(million));
}

}  // namespace
}  // namespace polyhead
