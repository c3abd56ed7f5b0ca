// Shared by the fuzz targets: an input that is read byte by byte, a folder for files, and an abort if a property is
// violated.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace polyhead {

// A fuzzer's bytes, one after another; zeros follow the end.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  std::uint64_t number() {  // little endian
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(byte()) << (8 * i);
    return value;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

// The code under test has let something through; tests/fuzz/classify knows the words.
[[noreturn]] inline void broken(const char* what) {
  std::fprintf(stderr, "the check let through: %s\n", what);
  std::abort();
}

// A folder of this process, in memory where there is one; a crash leaves it behind.
inline const std::filesystem::path& fuzz_folder() {
  static const std::filesystem::path folder = [] {
    const std::filesystem::path shm = "/dev/shm";
    std::string name =
        ((std::filesystem::is_directory(shm) ? shm : std::filesystem::temp_directory_path()) / "polyhead-fuzz-XXXXXX")
            .string();
    if (::mkdtemp(name.data()) == nullptr) broken("no folder for files");
    std::atexit([] { std::filesystem::remove_all(fuzz_folder()); });
    return name;
  }();
  return folder;
}

inline void write_input(const std::filesystem::path& file, const std::uint8_t* data, std::size_t size) {
  std::FILE* out = std::fopen(file.c_str(), "wb");
  if (out == nullptr || std::fwrite(data, 1, size, out) != size || std::fclose(out) != 0) broken("no room for a file");
}

}  // namespace polyhead
