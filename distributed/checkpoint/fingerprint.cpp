// Compares fingerprints, and lists threads by worker.
#include "distributed/checkpoint/fingerprint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"

namespace polyhead {
namespace {

constexpr const char* kCure =
    "run.reproducible = world gives the same bits only if these are the same; start all workers with the same program, "
    "run.threads and kind of processor, or train with run.reproducible = run";

std::string differences(const Fingerprint& here, const Fingerprint& there) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : here)
    if (const auto other = there.find(name); other == there.end() || other->second != value)
      lines.push_back(
          fmt::format("{}: {} there, {} here", name, other == there.end() ? "nothing" : other->second, value));
  return fmt::format("{}", fmt::join(lines, "; "));
}

}  // namespace

void check_fingerprint(const Fingerprint& mine, const Fingerprint& before, const std::string& folder) {
  if (!before.empty() && before != mine)
    throw Error(Exit::config, fmt::format("{} was written under other conditions ({}). {}", folder,
                                          differences(mine, before), kCure));
}

std::string threads_by_worker(const std::vector<int>& threads) {
  if (threads.size() == 1) return std::to_string(threads.front());
  std::string text;
  for (std::size_t first = 0; first < threads.size();) {
    std::size_t end = first;
    while (end < threads.size() && threads[end] == threads[first]) ++end;
    text +=
        fmt::format("{}{} on {}", text.empty() ? "" : ", ", threads[first],
                    end == first + 1 ? fmt::format("worker {}", first) : fmt::format("workers {}-{}", first, end - 1));
    first = end;
  }
  return text;
}

}  // namespace polyhead
