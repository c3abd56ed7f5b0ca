// The bytes of a safetensors file, and every kind of wrong header.
#include "core/base/safetensors.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

class Safetensors : public FolderTest {
 protected:
  // A file of this header and so many bytes of data.
  void put(const std::string& header, std::size_t data) const {
    std::string bytes(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((header.size() >> (8 * i)) & 255);
    write_file_atomically(file_, bytes + header + std::string(data, 'x'));
  }
  void expect_refused(const std::string& word) const {
    try {
      SafetensorsFile read(file_);
      ADD_FAILURE() << "was read; expected: " << word;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(file_.string()), std::string::npos) << error.what();
    }
  }
  const fs::path file_ = folder_ / "x.safetensors";
};

TEST_F(Safetensors, HoldsWhatWasWritten) {
  const std::array<float, 6> a = {1, -2, 3.5F, 4, 5, 6};
  const std::array<std::int64_t, 2> b = {7, -8};
  const std::map<std::string, StoredTensor> tensors = {{"b", {"I64", {2}, std::as_bytes(std::span(b))}},
                                                       {"a", {"F32", {2, 3}, std::as_bytes(std::span(a))}},
                                                       {"none", {"F32", {0, 3}, {}}},
                                                       {"scalar", {"F32", {}, std::as_bytes(std::span(a)).first(4)}}};
  const std::uint64_t hash = write_safetensors(file_, tensors, {{"step", "3"}});
  const std::string bytes = read_file(file_);
  EXPECT_EQ(hash, hash_bytes(bytes));
  EXPECT_EQ(write_safetensors(folder_ / "again", tensors, {{"step", "3"}}), hash);

  const SafetensorsFile read(file_);
  EXPECT_EQ(read.hash(), hash);
  EXPECT_EQ(read.metadata(), (std::map<std::string, std::string>{{"step", "3"}}));
  ASSERT_EQ(read.tensors().size(), 4U);
  for (const auto& [name, tensor] : tensors) {
    const StoredTensor& found = read.tensors().at(name);
    EXPECT_EQ(found.dtype, tensor.dtype);
    EXPECT_EQ(found.shape, tensor.shape);
    ASSERT_EQ(found.data.size(), tensor.data.size());
    if (!tensor.data.empty()) {
      EXPECT_EQ(std::memcmp(found.data.data(), tensor.data.data(), tensor.data.size()), 0) << name;
    }
  }
  EXPECT_EQ(bytes.find(std::string(reinterpret_cast<const char*>(a.data()), sizeof a)) % 8, 0U);  // data is aligned
}

TEST_F(Safetensors, HoldsNothingAtAll) {
  write_safetensors(file_, {}, {});
  EXPECT_TRUE(SafetensorsFile(file_).tensors().empty());
}

TEST_F(Safetensors, RefusesToWriteWhatItsShapeDoesNotGive) {
  const std::array<std::byte, 4> data{};
  for (const StoredTensor& wrong :
       {StoredTensor{"F32", {2}, data}, StoredTensor{"F99", {1}, data}, StoredTensor{"F32", {-1}, data},
        StoredTensor{"F32", {1LL << 62, 1LL << 62}, data}}) {
    try {
      write_safetensors(file_, {{"t", wrong}}, {});
      ADD_FAILURE() << "was written";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::internal);
    }
    EXPECT_TRUE(fs::is_empty(folder_));
  }
  try {
    write_safetensors(folder_ / "none" / "x", {}, {});
    ADD_FAILURE() << "was written";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::cannot_write);
  }
}

TEST_F(Safetensors, RefusesHeadersThatLie) {
  const auto tensor = [](const std::string& body) { return "{\"t\":{" + body + "}}"; };
  write_file_atomically(file_, "1234567");
  expect_refused("7 bytes");
  write_file_atomically(file_, std::string("\xff\xff\0\0\0\0\0\0{}", 10));
  expect_refused("claims 65535 bytes");
  write_file_atomically(file_, std::string(8, '\xff') + "{}");
  expect_refused("claims 18446744073709551615 bytes");
  put("", 0);
  expect_refused("not a JSON object");
  put("{\"t\":", 0);
  expect_refused("not a JSON object");
  put("[]", 0);
  expect_refused("not a JSON object");
  put(" {}", 0);
  expect_refused("not a JSON object");
  put(R"({"__metadata__":3})", 0);
  expect_refused("__metadata__ is not an object");
  put(R"({"__metadata__":{"a":3}})", 0);
  expect_refused("'a' is not a string");
  put(R"({"t":3})", 4);
  expect_refused("tensor 't' lacks");
  put(tensor(R"("dtype":"F32","shape":[1])"), 4);
  expect_refused("tensor 't' lacks");
  put(tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), 4);
  expect_refused("tensor 't' lacks");
  put(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"), 4);
  expect_refused("tensor 't' lacks");
  put(tensor(R"("dtype":"F99","shape":[1],"data_offsets":[0,4])"), 4);
  expect_refused("unknown type 'F99'");
  put(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), 4);
  expect_refused("is at bytes 4 to 0");
  put(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), 4);
  expect_refused("is at bytes 0 to 8 of 4");
  put(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), 4);
  expect_refused("has 4 bytes, which its shape does not give");
  put(tensor(R"("dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,0])"), 0);
  expect_refused("which its shape does not give");
  put(tensor(R"("dtype":"U8","shape":[3],"data_offsets":[1,4])"), 4);
  expect_refused("leave a hole at byte 1");
  put(tensor(R"("dtype":"U8","shape":[3],"data_offsets":[0,3])"), 4);
  expect_refused("end at byte 3 of 4");
  put(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
      4);
  expect_refused("overlap at byte 2");
  put(R"({"t":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"t":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
      3);
  expect_refused("key 't' twice");
  fs::remove(file_);
  expect_refused("No such file");
  fs::create_directory(file_);
  expect_refused("expected a regular file");
  fs::remove(file_);
  fs::create_symlink("/dev/zero", file_);
  expect_refused("expected a regular file");
}

TEST_F(Safetensors, SaysAtOnceWhatAHeaderIsThatWouldFillMemory) {
  constexpr std::size_t kBytes = 90'000'000;
  const auto begin = std::chrono::steady_clock::now();
  put(std::string(kBytes, '['), 0);
  expect_refused("not a JSON object");
  put("{\"t\":" + std::string(kBytes, '['), 0);
  expect_refused("more than 3 lists and objects within each other");
  std::string list = "{\"t\":[1";
  while (list.size() < kBytes) list += ",1,1,1,1,1,1,1,1";
  put(list, 0);
  expect_refused("list of more than 64 entries");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST_F(Safetensors, HashesTheValuesByName) {
  const std::array<float, 3> a = {1, 2, 3}, b = {4, 5, 6};
  write_safetensors(
      file_, {{"b", {"F32", {3}, std::as_bytes(std::span(b))}}, {"a", {"F32", {3}, std::as_bytes(std::span(a))}}},
      {{"format", "pt"}});
  const std::array<float, 6> both = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(SafetensorsFile(file_).values_hash(), hash_bytes(both.data(), sizeof both));
}

}  // namespace
}  // namespace polyhead
