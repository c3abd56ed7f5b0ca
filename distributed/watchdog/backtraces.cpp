// Sends a signal to one thread after another. The handler records the frames; their names are looked up outside of it.
#include "distributed/watchdog/backtraces.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr int kFrames = 64;
std::array<void*, kFrames> g_frames;
int g_count = 0;
std::atomic<int> g_asked{0}, g_answered{0};  // ids of threads

int signal_number() {
  return SIGRTMIN + 3;
}

void on_ask(int) {
  const int kept = errno;
  const int me = static_cast<int>(syscall(SYS_gettid));
  if (g_asked.load(std::memory_order_acquire) == me) {
    g_count = backtrace(g_frames.data(), kFrames);
    g_answered.store(me, std::memory_order_release);
  }
  errno = kept;
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

std::string name_of(void* frame) {
  Dl_info info{};
  if (dladdr(frame, &info) == 0 || info.dli_fname == nullptr) return fmt::format("{}", frame);
  const std::string file = fs::path(info.dli_fname).filename().string();
  const auto offset = static_cast<char*>(frame) - static_cast<char*>(info.dli_fbase);
  if (info.dli_sname == nullptr) return fmt::format("{} +{:#x}", file, offset);
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(
      abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), std::free);
  return fmt::format("{}  ({} +{:#x})", status == 0 ? plain.get() : info.dli_sname, file, offset);
}

}  // namespace

void prepare_backtraces() {
  std::array<void*, 4> frames{};
  backtrace(frames.data(), 4);
  struct sigaction action = {};
  action.sa_handler = on_ask;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal_number(), &action, nullptr);
}

std::string backtraces() {
  const int process = getpid(), me = static_cast<int>(syscall(SYS_gettid));
  std::vector<int> threads;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc/self/task", error))
    threads.push_back(std::atoi(entry.path().filename().c_str()));
  std::ranges::sort(threads);
  std::string text;
  for (const int thread : threads) {
    if (thread == me) continue;
    const fs::path folder = fmt::format("/proc/self/task/{}", thread);
    text += fmt::format("thread {} ({}{}):\n", thread, first_line(folder / "comm"),
                        thread == process ? ", the training thread" : "");
    g_asked.store(thread, std::memory_order_release);
    bool answered = false;
    if (syscall(SYS_tgkill, process, thread, signal_number()) == 0)
      for (int tries = 0; tries < 300 && !answered; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        answered = g_answered.load(std::memory_order_acquire) == thread;
      }
    if (!answered) {
      const std::string stat = first_line(folder / "stat");
      const std::size_t close = stat.rfind(") ");
      text += fmt::format("  does not answer (state {}, in the kernel at {})\n",
                          close == std::string::npos ? '?' : stat[close + 2], first_line(folder / "wchan"));
      continue;
    }
    // The first two frames are the handler and the kernel's return from it.
    for (int i = std::min(2, g_count); i < g_count; ++i)
      text += fmt::format("  {}\n", name_of(g_frames[static_cast<std::size_t>(i)]));
  }
  return text;
}

}  // namespace polyhead
