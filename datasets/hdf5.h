// A thin layer over HDF5's C API: handles that close themselves, errors as exceptions, and one lock around every use.
#pragma once

#include <hdf5.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace polyhead::hdf5 {

// Must exist during any use of HDF5, including destructors of handles, because it depends on the build whether HDF5 has
// a lock of its own. The first one disables the loading of filter plugins; each one silences HDF5's printing of errors.
// Sessions may be nested.
class Session {
 public:
  Session();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

// An hid_t with its close function. It cannot be copied.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// An error of the library itself, rather than of the content of a file.
class LibraryError : public Error {
 public:
  using Error::Error;
};

// Throws LibraryError(data) with the expression, the place in the source code and the library's error stack.
[[noreturn]] void fail(const char* expression, const char* file, int line);

template <class Result>
Result check(Result result, const char* expression, const char* file, int line) {
  if (result < 0) fail(expression, file, line);
  return result;
}

// Returns the value of a call of HDF5's C API; throws if it is negative.
#define POLYHEAD_HDF5(call) ::polyhead::hdf5::check((call), #call, __FILE__, __LINE__)

// Opens a file for reading, without locking it. Throws Error(data), as the next function does.
Handle open_file(const std::filesystem::path& file);
// Opens a dataset by its path. Links to other files are not followed.
Handle open_dataset(hid_t file, const std::string& path);

}  // namespace polyhead::hdf5
