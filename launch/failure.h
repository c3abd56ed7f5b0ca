// What an exception that ends a command means: an exit code and words for a person.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <string_view>

namespace polyhead {

struct Failure {
  int code = 0;
  std::string words;
};

// An Error as it is; an allocation that failed, of LibTorch, CUDA or C++, as an error of the configuration (78) with
// the sizes and what to lower; anything else as an internal error (70). `command`: "train", "predict", ...; "" when it
// is not known. Never throws.
Failure failure_of(const std::exception& error, std::string_view command) noexcept;

// Makes a failed allocation of LibTorch an exception. LibTorch's flag caffe2_use_fatal_for_enforce, false by default,
// may have been overwritten before main(): libsentencepiece has an object of the same symbol, FLAGS_minloglevel, which
// is larger than LibTorch's variable and reaches into the flag behind it.
void throw_when_out_of_memory();

// From now on an exception that nobody catches (in a thread, in a function that must not throw) ends the process with
// the code and words of failure_of, which `told` hears, instead of an abort.
void report_uncaught(std::string command, std::function<void(const Failure&)> told);

}  // namespace polyhead
