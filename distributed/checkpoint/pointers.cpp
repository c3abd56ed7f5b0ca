// Finds the files by their names.
#include "distributed/checkpoint/pointers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <system_error>

#include "core/base/error.h"
#include "core/base/names.h"
#include "core/base/regular_file.h"

namespace polyhead {

namespace fs = std::filesystem;

namespace {

// Returns the value of a file "best-VALUE", such as "section:accuracy"; "" for other names, such as those that an
// incomplete write leaves.
std::string value_of_pointer(const std::string& file) {
  constexpr std::string_view prefix = "best-";
  if (!file.starts_with(prefix)) return "";
  const std::string value = file.substr(prefix.size());
  const std::size_t colon = value.rfind(':');
  return value == "mean" || (colon != std::string::npos && value.find('.', colon) == std::string::npos) ? value : "";
}

// Returns the values of the files "best-VALUE" of a folder of checkpoints, in order.
std::vector<std::string> best_values_in(const fs::path& parent) {
  std::vector<std::string> values;
  std::error_code error;
  for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error))
    if (std::string value = value_of_pointer(at->path().filename().string()); !value.empty())
      values.push_back(std::move(value));
  std::ranges::sort(values);
  return values;
}

}  // namespace

bool there(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found;
}

std::string pointed_to(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return "";
  try {
    std::string name = RegularFile(file).read(4096);
    while (name.ends_with('\n')) name.pop_back();
    return name;
  } catch (const Error&) {
    return "";
  }
}

std::vector<fs::path> pointers_in(const fs::path& parent) {
  std::vector<fs::path> pointers = {parent / "latest", parent / "best"};
  for (const std::string& value : best_values_in(parent)) pointers.push_back(parent / ("best-" + value));
  return pointers;
}

fs::path best_pointer(const fs::path& run_dir, const std::string& which) {
  const fs::path parent = run_dir / "checkpoints", best = parent / "best";
  const std::vector<std::string> values = best_values_in(parent);
  if (!there(best) && values.empty())
    throw Error(Exit::config, fmt::format("{}: the run keeps no best checkpoint, as it was trained without run.best",
                                          run_dir.string()));
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::config, fmt::format("{}: --checkpoint {}: {}", run_dir.string(), which, what));
  };
  if (which == "best") {
    if (!there(best))
      fail(
          fmt::format("no checkpoint is the best by the first value of run.best yet; give best: and "
                      "one of {}",
                      fmt::join(values, ", ")));
    return best;
  }
  if (values.empty()) fail("run.best has one value, so the run keeps one best checkpoint; give best");
  const std::string wanted = file_stem(which.substr(5));
  std::vector<std::string> fits;
  for (const std::string& value : values) {
    if (value == wanted) return parent / ("best-" + value);
    if (value.substr(0, value.rfind(':')) == wanted) fits.push_back(value);
  }
  if (fits.empty())
    fail(fmt::format("run.best has no such value; give best: and one of {}, or its task", fmt::join(values, ", ")));
  if (fits.size() > 1) fail(fmt::format("run.best has {}; give best: and one of them", fmt::join(fits, " and ")));
  return parent / ("best-" + fits.front());
}

}  // namespace polyhead
