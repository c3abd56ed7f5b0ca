// Converts exceptions to exit codes and messages.
#include "launch/failure.h"

#include <c10/util/Logging.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cerrno>
#include <system_error>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>
#include <system_error>

#include "core/base/batch_sizes.h"
#include "core/base/error.h"
#include "core/base/host.h"
#include "core/base/text.h"
#include "distributed/communicator/timeline.h"
#include "launch/launcher.h"
#include "launch/table.h"

namespace polyhead {
namespace {

constexpr int kOutOfMemory = static_cast<int>(Exit::config);

std::string g_command;
std::function<void(const Failure&)> g_report;

// Phrases that the allocators of LibTorch and CUDA use.
bool says_out_of_memory(const std::string& text) {
  constexpr std::array<std::string_view, 4> kWords = {"can't allocate memory", "not enough memory", "out of memory",
                                                      "CUBLAS_STATUS_ALLOC_FAILED"};
  return std::ranges::any_of(kWords, [&](std::string_view words) { return text.find(words) != std::string::npos; });
}

std::string bytes_in_words(double bytes) {
  return fmt::format("{} bytes ({:.1f} GiB)", with_commas(static_cast<std::int64_t>(bytes)), bytes / (1U << 30U));
}

// Returns "an allocation of N bytes failed", if the allocator gives the size.
std::string what_failed(const std::string& text) {
  const std::string_view marks[] = {"tried to allocate ", "Tried to allocate "};
  for (const std::string_view mark : marks) {
    const std::size_t at = text.find(mark);
    if (at == std::string::npos) continue;
    const std::string rest = text.substr(at + mark.size());
    const std::size_t end = rest.find_first_not_of("0123456789");
    if (end != 0 && rest.substr(std::min(end, rest.size()), 6) == " bytes")
      return fmt::format("an allocation of {} failed", bytes_in_words(std::strtod(rest.c_str(), nullptr)));
    return fmt::format("an allocation of {} failed", rest.substr(0, rest.find(". ")));
  }
  return "an allocation failed";
}

std::string memory_in_use() {
  long pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  rlimit limit{};
  const bool limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return fmt::format("This process has {} in memory{}",
                     bytes_in_words(static_cast<double>(resident * sysconf(_SC_PAGESIZE))),
                     limited ? fmt::format(", and its address space is limited to {} (ulimit -v)",
                                           bytes_in_words(static_cast<double>(limit.rlim_cur)))
                             : "");
}

std::string_view cure_for(std::string_view command) {
  if (command == "predict") return "a smaller --batch, a smaller --max-length or shorter texts";
  if (command == "balance") return "fewer tasks";
  if (command == "evaluate")
    return "fewer --threads, shorter samples (dataset.max_length of the import) or --tasks one by one";
  if (command == "affinity") return "a machine with more memory";
  if (command == "import" || command == "inspect" || command == "verify" || command == "synthetic")
    return "fewer --threads or a machine with more memory";
  return "a smaller mixture.batch or a larger run.accumulate, a data set imported with a smaller dataset.max_length, a "
         "smaller encoder, or fewer workers on this machine";
}

Failure out_of_memory(const std::string& text, std::string_view command) {
  std::string words = "out of memory";
  if (const auto step = Timeline::of_process().step(); step > 0) words += fmt::format(" in step {}", step);
  words += " on " + host_name() + ": " + what_failed(text);
  if (batch_sizes.sequences > 0)
    words += fmt::format("; the batch being computed had {} sequences of {} tokens together, the longest of {} tokens",
                         with_commas(batch_sizes.sequences.load()), with_commas(batch_sizes.tokens.load()),
                         with_commas(batch_sizes.longest.load()));
  words += fmt::format(". {}. Less memory is needed with {}", memory_in_use(), cure_for(command));
  if (batch_sizes.longest > 2048)
    words += "; attention takes memory in proportion to the square of the longest sequence";
  return {kOutOfMemory, words};
}

[[noreturn]] void on_terminate() {
  Failure failure{static_cast<int>(Exit::internal), "internal error: ended by std::terminate"};
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::exception& error) {
    failure = failure_of(error, g_command);
  } catch (...) {
  }
  try {
    if (g_report) g_report(failure);
    std::fputs(fmt::format("polyhead {}: {}\n", g_command, failure.words).c_str(), stderr);
  } catch (...) {
  }
  std::fflush(stderr);
  ::_exit(failure.code);
}

}  // namespace

std::string words_of(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, std::min(text.find("\nException raised from"), text.find("\nframe #0")));
}

Failure failure_of(const std::exception& error, std::string_view command) noexcept {
  try {
    if (const auto* known = dynamic_cast<const Error*>(&error)) return {static_cast<int>(known->code()), known->what()};
    if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return out_of_memory("", command);
    // Thrown by a print to a closed or full stream.
    if (const auto* system = dynamic_cast<const std::system_error*>(&error))
      for (const int number : {EBADF, EFBIG, EIO, ENOSPC, EPIPE, EDQUOT})
        if (system->code().value() == number)
          return {static_cast<int>(Exit::cannot_write),
                  fmt::format("the output cannot be written: it is closed or the disk is full ({})",
                              std::generic_category().message(number))};
    const std::string text = words_of(error);
    if (says_out_of_memory(text)) return out_of_memory(text, command);
    return {static_cast<int>(Exit::internal), fmt::format("internal error: {}", text)};
  } catch (const std::exception&) {
    // There is no memory for a message.
    return {kOutOfMemory, "out of memory"};  // short enough for no allocation
  }
}

void throw_when_out_of_memory() {
  FLAGS_caffe2_use_fatal_for_enforce = false;
}

void report_uncaught(std::string command, std::function<void(const Failure&)> report) {
  g_command = std::move(command);
  g_report = std::move(report);
  std::set_terminate(on_terminate);
}

}  // namespace polyhead
