// Converts an exception that ends a command to an exit code and a message for the user.
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

// Never throws. command: "train", "predict", …; "" if it is not known.
// - An Error keeps its code and message.
// - A failed allocation of LibTorch, CUDA or C++ becomes an error of the configuration (78), with the sizes and what to
//   reduce.
// - A failed write to a closed or full output becomes Error(cannot_write) (73).
// - Any other exception becomes an internal error (70).
Failure failure_of(const std::exception& error, std::string_view command) noexcept;

// Returns the message of an unexpected exception, without the stack that LibTorch appends.
std::string words_of(const std::exception& error);

// Makes LibTorch throw when an allocation fails. Its flag caffe2_use_fatal_for_enforce is false by default, but it may
// have been overwritten before main(): libsentencepiece has an object with the same symbol, FLAGS_minloglevel, which is
// larger than LibTorch's variable and overlaps the flag behind it.
void throw_when_out_of_memory();

// From this call on, an uncaught exception (in a thread, or in a function that must not throw) calls `report` and ends
// the process with the code and message of failure_of(), instead of aborting it.
void report_uncaught(std::string command, std::function<void(const Failure&)> report);

}  // namespace polyhead
