// Runs every balancer on the two-dimensional problem from every starting point; prints where each run ends, and writes
// the table as JSON Lines and pictures of the paths.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/numbers.h"
#include "descent.h"
#include "picture.h"

namespace toy {
namespace {

using polyhead::Error;
using polyhead::Exit;

// What a paper does: the factor of the first loss, the starting points, the number of steps.
struct Setting {
  double scale;
  std::int64_t steps;
  std::vector<Vector> starts;
  std::vector<std::pair<std::string, std::string>> options;  // of balancers, unless they are given
};

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = {
      {1, 100'000, {{-8.5, 7.5}, {-8.5, -5}, {9, 9}}, {{"cagrad_c", "0.5"}}},
      {0.1, 50'000, {{-8.5, 7.5}, {0, 0}, {9, 9}, {-7.5, -0.5}, {9, -1}}, {{"famo_decay", "0"}}},
  };
  return all;
}

struct Arguments {
  std::filesystem::path out;         // "": no files
  std::vector<std::string> methods;  // empty: all
  double offset = 21;
  std::size_t threads = 2;
  std::vector<std::pair<std::string, std::string>> options;  // of balancers
};

constexpr std::string_view kUsage =
    "usage: toy [--out DIR] [--methods a,b] [--offset 21] [--threads 2] [--balance.NAME VALUE]...\n"
    "Runs balancers on a problem with two parameters, and prints where each run ends.\n"
    "  --out      The folder to write ends.jsonl and the pictures to. It is created.\n"
    "  --methods  Names of the balancers to run. If not given, all are run.\n"
    "  --offset   Number that is added to the losses that a balancer sees, times the factor of the loss. The losses "
    "go\n"
    "             down to -20, and some balancers need positive ones.\n"
    "  --threads  Number of runs at the same time.\n";

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

double number_of(const std::string& name, const std::string& value, double least) {
  const auto number = polyhead::parse_number(value);
  if (!number || *number < least)
    throw Error(Exit::usage, fmt::format("{} is '{}', expected a number >= {}", name, value, least));
  return *number;
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    const std::string& name = words[i];
    if (i + 1 == words.size()) throw Error(Exit::usage, fmt::format("{} has no value\n{}", name, kUsage));
    const std::string& value = words[i + 1];
    if (name == "--out")
      arguments.out = value;
    else if (name == "--methods")
      arguments.methods = parts_of(value);
    else if (name == "--offset")
      arguments.offset = number_of(name, value, 0);
    else if (name == "--threads")
      arguments.threads = static_cast<std::size_t>(number_of(name, value, 1));
    else if (name.starts_with("--balance."))
      arguments.options.emplace_back(name.substr(10), value);
    else
      throw Error(Exit::usage, fmt::format("there is no option {}\n{}", name, kUsage));
  }
  return arguments;
}

// Sets an option of [balance].
void set(polyhead::BalancerOptions& options, const std::string& name, const std::string& value) {
  for (const polyhead::Field& field : fields(options)) {
    if (field.name != name) continue;
    bool valid = false;
    if (const auto* choice = std::get_if<polyhead::NamedMember>(&field.member))
      valid = choice->set(value);
    else if (auto* const* number = std::get_if<double*>(&field.member))
      valid = polyhead::read_number(value, **number) == polyhead::NumberProblem::none;
    else if (auto* const* whole = std::get_if<std::int64_t*>(&field.member))
      valid = polyhead::read_number(value, **whole) == polyhead::NumberProblem::none;
    else if (auto* const* text = std::get_if<std::string*>(&field.member)) {
      **text = value;
      valid = true;
    }
    if (!valid) throw Error(Exit::config, fmt::format("balance.{} = {}: this is not a value of it", name, value));
    return;
  }
  throw Error(Exit::usage, fmt::format("there is no option --balance.{}; 'polyhead help balance' lists them", name));
}

struct Run {
  std::size_t setting = 0;
  std::string method;
  Descent descent;
  Path path;
};

std::vector<Run> runs_of(const Arguments& arguments) {
  std::vector<std::string> methods = arguments.methods;
  if (methods.empty())
    for (const std::string_view name : polyhead::balancer_names()) methods.emplace_back(name);
  std::vector<Run> runs;
  for (std::size_t s = 0; s < settings().size(); ++s) {
    const Setting& setting = settings()[s];
    polyhead::BalancerOptions balancer;
    for (const auto* options : {&setting.options, &arguments.options})
      for (const auto& [name, value] : *options) set(balancer, name, value);
    polyhead::check_ranges("balance", fields(balancer));
    for (const std::string& method : methods) {
      balancer.method = method;
      for (const Vector& start : setting.starts)
        runs.push_back({s,
                        method,
                        {.problem = {setting.scale},
                         .balancer = balancer,
                         .offset = {arguments.offset * setting.scale, arguments.offset},
                         .steps = setting.steps,
                         .start = start},
                        {}});
    }
  }
  return runs;
}

// Runs all, several at the same time. Throws the first exception of a run.
void run_all(std::vector<Run>& runs, std::size_t threads) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failed;
  std::mutex mutex;
  const auto work = [&] {
    for (std::size_t i = next++; i < runs.size(); i = next++) try {
        runs[i].path = descend(runs[i].descent);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failed) failed = std::current_exception();
      }
  };
  std::vector<std::jthread> workers;
  for (std::size_t i = 1; i < threads; ++i) workers.emplace_back(work);
  work();
  workers.clear();
  if (failed) std::rethrow_exception(failed);
}

std::string cell(const Vector& end) {
  return fmt::format("{}({:.2f}, {:.2f})", on_front(end) ? "" : "stuck ", end[0], end[1]);
}

// Prints a table for each setting, and returns the same as JSON Lines.
std::string report(const std::vector<Run>& runs) {
  std::string lines;
  for (std::size_t s = 0; s < settings().size(); ++s) {
    const Setting& setting = settings()[s];
    fmt::print("{}First loss times {}, {} steps. The point where each run ends:\n{:<14}", s == 0 ? "" : "\n",
               setting.scale, setting.steps, "from");
    for (const Vector& start : setting.starts) fmt::print(" {:<22}", fmt::format("({}, {})", start[0], start[1]));
    std::string method;
    for (const Run& run : runs) {
      if (run.setting != s) continue;
      if (run.method != method) fmt::print("\n{:<14}", run.method);
      method = run.method;
      fmt::print(" {:<22}", cell(run.path.end));
      lines += nlohmann::ordered_json{{"scale", setting.scale},
                                      {"method", run.method},
                                      {"start", run.descent.start},
                                      {"end", run.path.end},
                                      {"on_front", on_front(run.path.end)}}
                   .dump() +
               '\n';
    }
    fmt::print("\n");
  }
  return lines;
}

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw Error(Exit::cannot_write, fmt::format("{}: it cannot be written", file.string()));
}

void draw(const std::vector<Run>& runs, const std::filesystem::path& folder) {
  for (std::size_t s = 0; s < settings().size(); ++s) {
    std::vector<Panel> panels;
    for (const Run& run : runs) {
      if (run.setting != s) continue;
      if (panels.empty() || panels.back().title != run.method) panels.push_back({run.method, {}});
      panels.back().paths.push_back(run.path);
    }
    write(folder / fmt::format("scale-{}.svg", settings()[s].scale), picture({settings()[s].scale}, panels));
  }
}

int run(const std::vector<std::string>& words) {
  if (std::ranges::count(words, "--help") > 0) {
    fmt::print("{}", kUsage);
    return 0;
  }
  const Arguments arguments = parse(words);
  std::vector<Run> runs = runs_of(arguments);
  run_all(runs, arguments.threads);
  const std::string lines = report(runs);
  if (arguments.out.empty()) return 0;
  std::filesystem::create_directories(arguments.out);
  write(arguments.out / "ends.jsonl", lines);
  draw(runs, arguments.out);
  return 0;
}

}  // namespace
}  // namespace toy

int main(int argc, char** argv) try { return toy::run({argv + 1, argv + argc}); } catch (const polyhead::Error& error) {
  fmt::print(stderr, "toy: {}\n", error.what());
  return static_cast<int>(error.code());
} catch (const std::exception& error) {
  fmt::print(stderr, "toy: {}\n", error.what());
  return static_cast<int>(polyhead::Exit::internal);
}
