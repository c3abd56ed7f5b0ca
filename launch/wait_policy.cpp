// Sets how OpenMP's threads wait. The OpenMP library reads this once, before main() and before any of our other code.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "launch/threads.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POLYHEAD_SANITIZED
#endif

namespace polyhead {
namespace {

// Marks that the other variables were set here.
constexpr const char* kMark = "POLYHEAD_WAIT_POLICY";

#ifndef POLYHEAD_SANITIZED

// The C library is not initialized yet: getenv, setenv and allocations are not possible.
bool begins_with(const char* text, const char* begin) {
  for (; *begin != '\0'; ++text, ++begin)
    if (*text != *begin) return false;
  return true;
}

void choose_wait_policy(int arguments, char** words, char** environment) {
  constexpr std::size_t kMost = 8192;
  static char* variables[kMost + 4];
  static char spin[] = "GOMP_SPINCOUNT=1000", block[] = "KMP_BLOCKTIME=0", mark[] = "POLYHEAD_WAIT_POLICY=short";
  static char program[4096];
  std::size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    for (const char* name : {"OMP_WAIT_POLICY=", "GOMP_SPINCOUNT=", "KMP_BLOCKTIME=", "KMP_LIBRARY=",
                             "POLYHEAD_WAIT_POLICY=", "OMPI_COMM_WORLD_SIZE=", "PMIX_RANK=", "PMI_RANK=", "PMI_SIZE="})
      if (begins_with(environment[count], name)) return;
    const char* one = "OMP_NUM_THREADS=1";
    if (begins_with(environment[count], one) && environment[count][17] == '\0') return;  // no thread waits
    if (count == kMost) return;
    variables[count] = environment[count];
  }
  if (arguments < 2) return;
  variables[count++] = spin, variables[count++] = block, variables[count++] = mark;
  const long length = syscall(SYS_readlink, "/proc/self/exe", program, sizeof program - 1);
  if (length > 0) syscall(SYS_execve, program, words, variables);  // if it fails, the threads spin
}

// Runs before the constructors of libraries.
__attribute__((section(".preinit_array"), used)) void (*const before_libraries)(int, char**,
                                                                                char**) = &choose_wait_policy;

#endif

}  // namespace

void forget_wait_policy() {
  if (std::getenv(kMark) == nullptr) return;
  for (const char* name : {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", kMark}) unsetenv(name);
}

}  // namespace polyhead
