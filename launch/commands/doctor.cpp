// polyhead doctor: checks this machine, or under a launcher the machines of all workers, and reports what will not
// work.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/host.h"
#include "launch/commands/commands.h"
#include "launch/doctor/doctor.h"
#include "launch/host.h"
#include "launch/run_options.h"
#include "launch/table.h"

namespace polyhead {
namespace {

using nlohmann::json;

// Returns the findings of this worker. Collective.
std::vector<Finding> examine(const Config& config, const Launcher& launcher, Communicator& world) {
  const std::vector<std::string> hosts = world.all_gather_strings("doctor.hosts", host_name());
  const auto here = static_cast<int>(std::ranges::count(hosts, host_name()));
  std::vector<std::string> distinct = hosts;
  std::ranges::sort(distinct);
  const auto host_count = static_cast<int>(std::unique(distinct.begin(), distinct.end()) - distinct.begin());
  const CpuShare cpus = cpus_from_affinity(world);
  const char* omp = std::getenv("OMP_NUM_THREADS");
  std::vector<Finding> all;
  const auto add = [&](std::vector<Finding> more) { all.insert(all.end(), more.begin(), more.end()); };
  add(look_at_launcher(launcher, world.size()));
  add(look_at_threads(cpus.threads(), cpus.cpus, cpus.workers, omp == nullptr ? 0 : std::max(0, std::atoi(omp))));
  add(look_at_libraries());
  add(look_at_devices(here));
  add(look_at_interfaces(host_count));
  add(look_at_shared_memory("/dev/shm", here));
  add(look_at_limits());
  // The folder in which runs would be written.
  add(look_at_run_folder(config.has("run.run_dir") ? config.path("run.run_dir") : std::filesystem::current_path(),
                         world));
  return all;
}

// A finding, with all workers that have the same one.
struct Row {
  Finding finding;
  std::vector<int> ranks;
};

std::vector<Row> rows_of(const std::vector<std::vector<Finding>>& workers) {
  std::vector<Row> rows;
  // Subjects are in the same order for all workers.
  for (std::size_t subject = 0; subject < workers[0].size(); ++subject) {
    const std::size_t begin = rows.size();
    for (std::size_t rank = 0; rank < workers.size(); ++rank) {
      const Finding& one = workers[rank][subject];
      // Measured values differ between workers; those of a run folder are shown for the first worker that has the
      // finding.
      const auto same = std::find_if(
          rows.begin() + static_cast<std::ptrdiff_t>(begin), rows.end(),
          [&](const Row& row) { return row.finding.text == one.text && row.finding.verdict == one.verdict; });
      if (same != rows.end())
        same->ranks.push_back(static_cast<int>(rank));
      else
        rows.push_back({one, {static_cast<int>(rank)}});
    }
  }
  return rows;
}

// Reports libraries whose versions differ between workers.
std::vector<Finding> compare_versions(const std::vector<std::vector<Finding>>& workers,
                                      const std::vector<std::string>& hosts) {
  std::vector<Finding> all;
  for (std::size_t i = 0; i < workers[0].size(); ++i) {
    const Finding& first = workers[0][i];
    if (!first.values.contains("compiled")) continue;
    for (std::size_t rank = 1; rank < workers.size(); ++rank) {
      const Finding& other = workers[rank][i];
      if (other.values.at("compiled") == first.values.at("compiled") &&
          other.values.at("loaded") == first.values.at("loaded"))
        continue;
      all.push_back({.subject = first.subject,
                     .verdict = Verdict::fault,
                     .text = fmt::format("worker 0 on {} has {}, worker {} on {} has {}", hosts[0], first.text, rank,
                                         hosts[rank], other.text),
                     .cure = "start the same build with the same libraries on all hosts"});
      break;
    }
  }
  return all;
}

std::string table_of(const std::vector<Row>& rows, std::size_t workers) {
  constexpr const char* kMarks[] = {"ok", "warning", "FAULT"};
  std::string out;
  for (const Row& row : rows) {
    const std::string who =
        row.ranks.size() == workers || workers == 1 ? "" : fmt::format("worker {}: ", fmt::join(row.ranks, ", "));
    out += fmt::format("{:<8} {:<11} {}{}\n", kMarks[static_cast<int>(row.finding.verdict)], row.finding.subject, who,
                       printable(row.finding.text));
    if (!row.finding.cure.empty()) out += fmt::format("{:<21}cure: {}\n", "", row.finding.cure);
  }
  return out;
}

std::string table_of(const std::vector<Link>& links, const std::vector<std::string>& hosts) {
  std::vector<std::vector<std::string>> rows;
  for (const Link& link : links)
    rows.push_back({fmt::format("{} {}", link.first, hosts[static_cast<std::size_t>(link.first)]),
                    fmt::format("{} {}", link.second, hosts[static_cast<std::size_t>(link.second)]),
                    fmt::format("{:.1f} µs", link.latency * 1e6), fmt::format("{:.0f} MB/s", link.bandwidth / 1e6)});
  return format_table({"worker", "worker", "latency", "bandwidth"}, rows, "llrr");
}

json json_of(const std::vector<std::vector<Finding>>& workers, const std::vector<std::string>& hosts,
             const std::vector<Finding>& between, const std::vector<Link>& links, bool faults) {
  json out = {{"ok", !faults}, {"workers", json::array()}, {"between", json::array()}, {"links", json::array()}};
  for (std::size_t rank = 0; rank < workers.size(); ++rank) {
    json findings = json::array();
    for (const Finding& finding : workers[rank]) findings.push_back(json_of(finding));
    out["workers"].push_back({{"rank", rank}, {"host", hosts[rank]}, {"findings", std::move(findings)}});
  }
  for (const Finding& finding : between) out["between"].push_back(json_of(finding));
  for (const Link& link : links)
    out["links"].push_back({{"workers", {link.first, link.second}},
                            {"latency_us", link.latency * 1e6},
                            {"bytes_per_second", link.bandwidth}});
  return out;
}

}  // namespace

std::span<const Option> doctor_options() {
  using enum OptionType;
  static const std::vector<Option> table = [] {
    std::vector<Option> own = {
        {.key = "json", .type = flag, .value = "false", .help = "Print one JSON object instead of a table."},
        {.key = "calibrate",
         .type = path,
         .help = "If there is no fault, run polyhead plan --calibrate with this file afterwards, which needs a "
                 "configuration and a data set. The report is then printed to standard error."},
    };
    const std::span<const Option> train = train_options();
    own.insert(own.end(), train.begin(), train.end());
    return own;
  }();
  return table;
}

int run_doctor(const Config& config, Communicator& world) {
  json mine = json::array();
  for (const Finding& finding : examine(config, find_launcher(), world)) mine.push_back(json_of(finding));
  // Names from the system may contain arbitrary bytes.
  const std::string words = mine.dump(-1, ' ', false, json::error_handler_t::replace);
  std::vector<std::vector<Finding>> workers;
  for (const std::string& one : world.all_gather_strings("doctor.findings", words)) {
    workers.emplace_back();
    for (const json& finding : json::parse(one)) workers.back().push_back(finding_of(finding));
  }
  const std::vector<std::string> hosts = world.all_gather_strings("doctor.hosts", host_name());
  const std::vector<Link> links = measure_links(world);
  std::vector<Row> rows = rows_of(workers);
  const std::vector<Finding> between = compare_versions(workers, hosts);
  for (const Finding& finding : between) rows.push_back({finding, {0}});
  const auto count = [&](Verdict verdict) {
    return std::ranges::count_if(rows, [&](const Row& row) { return row.finding.verdict == verdict; });
  };
  const auto faults = count(Verdict::fault), warnings = count(Verdict::warning);
  std::FILE* out = config.has("calibrate") ? stderr : stdout;
  if (world.rank() == 0) {
    if (config.flag("json")) {
      fmt::print(
          out, "{}\n",
          json_of(workers, hosts, between, links, faults > 0).dump(-1, ' ', false, json::error_handler_t::replace));
    } else {
      fmt::print(out, "{}", table_of(rows, workers.size()));
      if (!links.empty()) fmt::print(out, "\n{}", table_of(links, hosts));
      fmt::print(out, "\n{} faults, {} warnings\n", faults, warnings);
    }
  }
  std::vector<std::int64_t> bad = {faults};
  world.all_reduce("doctor.faults", bad, Reduce::max);
  if (bad[0] == 0 && config.has("calibrate")) return run_calibration(config, config.path("calibrate"), world);
  return bad[0] > 0 ? 1 : 0;
}

}  // namespace polyhead
