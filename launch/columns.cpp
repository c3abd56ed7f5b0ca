// Parses pairs of names.
#include "launch/columns.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/text.h"
#include "datasets/target.h"

namespace polyhead {

std::map<std::string, std::string> names_of_parts(const Config& config, const std::string& key,
                                                  std::span<const std::string_view> useful, const std::string& unused) {
  const bool of_command = config.option(key).section.empty();
  const auto fail = [&](const std::string& what) {
    throw Error(of_command ? Exit::usage : Exit::config,
                of_command ? fmt::format("--{} {}: {}", key, config.text(key), what)
                           : fmt::format("{}: {} = {}: {}", config.origin(key), key, config.text(key), what));
  };
  std::map<std::string, std::string> names;
  for (const std::string& one : config.list(key)) {
    const std::size_t colon = std::min(one.find(':'), one.size());
    const std::string ours(trim(one.substr(0, colon)));
    const std::string theirs = colon == one.size() ? ours : std::string(trim(one.substr(colon + 1)));
    const std::vector<std::string> parts(part_names().begin(), part_names().end());
    const auto part = std::ranges::find(parts, ours);
    if (part == parts.end())
      fail(fmt::format("a sample has no part '{}'{}; write ours:theirs, for example text:sentence; the parts are {}",
                       ours, did_you_mean(ours, parts), fmt::join(parts, ", ")));
    if (theirs.empty())
      fail(fmt::format("'{}' lacks the name that the file uses; write for example text:sentence", one));
    if (!names.emplace(ours, theirs).second) fail(fmt::format("'{}' is given twice; keep one of them", ours));
    if (std::ranges::count(useful, *part) == 0) fail(fmt::format("'{}' has no effect, as {}; remove it", ours, unused));
  }
  return names;
}

}  // namespace polyhead
