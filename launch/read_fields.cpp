// Copies the values of options to the members of structs.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/base/text.h"
#include "launch/options.h"

namespace polyhead {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(Exit::config, what);
}

// Parses "KEY=VALUE, KEY=VALUE".
std::map<std::string, std::string> own_options(const Config& config, const std::string& option) {
  std::map<std::string, std::string> own;
  for (const std::string& entry : config.list(option)) {
    const std::size_t equals = std::min(entry.find('='), entry.size());
    const std::string key = std::string(trim(entry.substr(0, equals))),
                      value = equals < entry.size() ? std::string(trim(entry.substr(equals + 1))) : "";
    if (key.empty() || value.empty()) fail(fmt::format("{}: '{}' is not KEY=VALUE", config.quote(option), entry));
    if (!own.emplace(key, value).second)
      fail(fmt::format("{}: {} is given twice; keep one", config.quote(option), key));
  }
  return own;
}

// Converts "0, 2, 4-7" to ranks, ascending.
std::vector<int> pinned_workers(const Config& config, const std::string& key) {
  std::vector<int> workers;
  for (const std::string& text : config.list(key)) {
    constexpr int kMost = 1'000'000;
    int first = -1, last = -1;
    const char* const end = text.data() + text.size();
    auto read = std::from_chars(text.data(), end, first);
    last = first;
    if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc() || read.ptr != end || first < 0 || last < first || last >= kMost)
      fail(fmt::format("{}: '{}' is not a worker; workers are numbered from 0 and listed as in 0, 2, 4-7",
                       config.quote(key), text));
    for (int worker = first; worker <= last; ++worker) workers.push_back(worker);
  }
  std::ranges::sort(workers);
  if (const auto twice = std::ranges::adjacent_find(workers); twice != workers.end())
    fail(fmt::format("{}: worker {} is listed twice; keep one", config.quote(key), *twice));
  return workers;
}

struct Read {
  const Config& config;
  const std::string& name;

  void operator()(const NamedMember& choice) const { choice.set(config.text(name)); }
  void operator()(std::int64_t* member) const { *member = config.integer(name); }
  void operator()(std::uint64_t* member) const { *member = static_cast<std::uint64_t>(config.integer(name)); }
  void operator()(int* member) const { *member = static_cast<int>(config.integer(name)); }
  void operator()(double* member) const { *member = config.number(name); }
  void operator()(std::optional<std::int64_t>* member) const { *member = config.integer(name); }
  void operator()(std::optional<double>* member) const { *member = config.number(name); }
  void operator()(std::string* member) const { *member = config.text(name); }
  void operator()(std::filesystem::path* member) const { *member = config.path(name); }
  void operator()(std::vector<std::string>* member) const { *member = config.list(name); }
  void operator()(std::vector<int>* member) const { *member = pinned_workers(config, name); }
  void operator()(std::map<std::string, std::string>* member) const { *member = own_options(config, name); }
};

}  // namespace

void read_fields(const Config& config, std::string_view section, const std::vector<Field>& fields) {
  for (const Field& field : fields) {
    const std::string_view in = field.section.empty() ? section : field.section;
    const std::string name = in.empty() ? std::string(field.name) : fmt::format("{}.{}", in, field.name);
    if (config.has(name)) std::visit(Read{config, name}, field.member);
  }
}

}  // namespace polyhead
