// A worker is late if, for the whole timeout,
// - it is outside of collectives and makes no progress, or
// - no report of it arrives, or
// - all workers wait in collectives and none makes progress.
// Otherwise, a worker that waits in a collective is not late, whatever the others do.
#include "distributed/watchdog/hang.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include "core/base/at.h"

namespace polyhead {
namespace {

std::string called(const WorkerView& worker, std::size_t workers) {
  std::string text = fmt::format("rank {} of {}", worker.rank, workers);
  if (!worker.state.host.empty()) text += fmt::format(" (host {}, pid {})", worker.state.host, worker.state.pid);
  return text;
}

std::string words_of_phase(const std::string& phase) {
  if (phase == "loader") return "in its loader, waiting for data";
  if (phase == "teachers") return "in compute (its teachers' forward passes)";
  if (phase == "forward" || phase == "backward" || phase == "optimizer") return "in compute (" + phase + ")";
  if (phase == "evaluation") return "in evaluation";
  if (phase == "checkpoint") return "saving a checkpoint";
  if (phase == "start-up") return "starting up (reading data or building the model)";
  if (phase == "joining") return "in MPI_Init";
  if (phase.empty()) return "at its start";  // the report has no phase
  return "between the parts of a step";
}

std::string doing(const WorkerView& worker) {
  const WorkerState& state = worker.state;
  std::string last = state.waiting ? fmt::format("in {}", state.waiting->name) : words_of_phase(state.phase);
  if (state.step > 0) last += fmt::format(", step {}", state.step);
  switch (worker.process) {
    case 'T':
      return fmt::format("it is stopped by a signal (state T); last report {:.1f} s ago: {}", worker.since_heard, last);
    case 't':
      return fmt::format("it is stopped by a debugger (state t); last report {:.1f} s ago: {}", worker.since_heard,
                         last);
    case 'X':
    case 'Z':
      return fmt::format("its process has ended; last report {:.1f} s ago: {}", worker.since_heard, last);
    default:
      break;
  }
  if (worker.since_heard > state.silent + 1)
    return fmt::format(
        "no report of it has arrived for {:.1f} s{}: its host or the connection to it hangs; last report: {}",
        worker.since_heard, worker.process == 0 ? "" : fmt::format(" (state {})", worker.process), last);
  return fmt::format("it has been {} for {:.1f} s without progress", last, state.silent + worker.since_heard);
}

// A collective in which workers wait: their ranks, and the longest wait.
struct Crowd {
  Waiting wait;
  std::vector<int> ranks;
};

std::vector<Crowd> crowds_of(const std::vector<WorkerView>& workers) {
  std::map<std::pair<std::uint64_t, std::uint64_t>, Crowd> crowds;
  for (const WorkerView& worker : workers) {
    if (!worker.state.waiting) continue;
    Waiting wait = *worker.state.waiting;
    wait.seconds += worker.since_heard;
    Crowd& crowd = crowds.try_emplace({wait.group, wait.number}, Crowd{wait, {}}).first->second;
    crowd.wait.seconds = std::max(crowd.wait.seconds, wait.seconds);
    crowd.ranks.push_back(worker.rank);
  }
  std::vector<Crowd> result;
  for (auto& [call, crowd] : crowds) result.push_back(std::move(crowd));
  return result;
}

// Returns the collective in which most other workers wait for the late one, and their number.
std::pair<std::optional<Waiting>, std::size_t> wait_for(const WorkerView& late, const std::vector<Crowd>& crowds) {
  std::pair<std::optional<Waiting>, std::size_t> best{std::nullopt, 0};
  for (const Crowd& crowd : crowds) {
    const auto own = late.state.calls.find(crowd.wait.group);
    if (own != late.state.calls.end() && own->second.number > crowd.wait.number) continue;
    const std::size_t others = crowd.ranks.size() - (std::ranges::count(crowd.ranks, late.rank) > 0 ? 1 : 0);
    if (others > best.second) best = {crowd.wait, others};
  }
  return best;
}

std::string list_of(const std::vector<int>& ranks) {
  const std::size_t shown = std::min<std::size_t>(ranks.size(), 8);
  return fmt::format("{}{}", fmt::join(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     shown < ranks.size() ? fmt::format(" and {} more", ranks.size() - shown) : "");
}

// Returns the newest call of each group, by any of its members.
std::map<std::uint64_t, Call> newest_calls(const std::vector<WorkerView>& workers) {
  std::map<std::uint64_t, Call> newest;
  for (const WorkerView& worker : workers)
    for (const auto& [group, call] : worker.state.calls)
      if (Call& known = newest[group]; known.number < call.number) known = call;
  return newest;
}

// Returns a call that another member has made and this worker has not reached.
std::optional<Call> missed(const WorkerView& worker, const std::map<std::uint64_t, Call>& newest) {
  for (const auto& [group, call] : worker.state.calls)
    if (const Call& ahead = newest.at(group); call.number < ahead.number) return ahead;
  return std::nullopt;
}

HangReport about(std::vector<const WorkerView*> late, const std::vector<WorkerView>& workers) {
  // No worker waits in calls that only start work on a device: then all are late, and the first is the one that is
  // behind.
  const auto newest = newest_calls(workers);
  std::stable_partition(late.begin(), late.end(),
                        [&](const WorkerView* worker) { return missed(*worker, newest).has_value(); });
  HangReport hang;
  for (const WorkerView* worker : late) hang.late.push_back(worker->rank);
  const auto [wait, waiters] = wait_for(*late.front(), crowds_of(workers));
  hang.words = describe_late(*late.front(), workers.size(), wait, waiters);
  if (const auto ahead = missed(*late.front(), newest); ahead && !wait)
    hang.words +=
        fmt::format("; it has not reached {} (call {} of its group), but others have", ahead->name, ahead->number);
  if (late.size() > 1)
    hang.words += fmt::format(". Also late: rank{} {}", late.size() > 2 ? "s" : "",
                              list_of({hang.late.begin() + 1, hang.late.end()}));
  return hang;
}

std::optional<HangReport> judge_start(const std::vector<WorkerView>& workers, double since_start, double limit,
                                      const std::string& host) {
  if (limit <= 0 || since_start < limit) return std::nullopt;
  HangReport hang;
  std::vector<int> outside;
  for (const WorkerView& worker : workers) {
    if (!worker.started) hang.late.push_back(worker.rank);
    if (worker.started && !worker.state.joined) outside.push_back(worker.rank);
  }
  if (outside.size() + hang.late.size() < workers.size()) return std::nullopt;  // MPI_Init returns in all or none
  if (!hang.late.empty()) {
    hang.words = fmt::format(
        "rank{} {} of {} {} not started{}: no report of {} has arrived for {:.1f} s, while {} wait{} in MPI_Init",
        hang.late.size() > 1 ? "s" : "", list_of(hang.late), workers.size(), hang.late.size() > 1 ? "have" : "has",
        host.empty() ? "" : fmt::format(" on host {}", host), hang.late.size() > 1 ? "them" : "it", since_start,
        outside.size() == 1 ? "one" : std::to_string(outside.size()), outside.size() == 1 ? "s" : "");
    return hang;
  }
  for (const WorkerView& worker : workers)
    if (worker.since_heard >= limit / 2 || worker.state.phase != "joining") hang.late.push_back(worker.rank);
  if (!hang.late.empty()) {
    const WorkerView& late = at(workers, hang.late.front());
    hang.words = fmt::format("{} keeps the others waiting in MPI_Init: {}", called(late, workers.size()), doing(late));
    return hang;
  }
  hang.late = outside;
  hang.words = fmt::format(
      "all {} workers have started, but MPI_Init has not returned for {:.1f} s: the cause may be a firewall, or a "
      "network interface that does not reach the other hosts (mpirun --mca btl_tcp_if_include)",
      workers.size(), since_start);
  return hang;
}

}  // namespace

std::string describe_lost(const WorkerView& lost, std::size_t workers, bool out_of_memory) {
  const WorkerState& state = lost.state;
  std::string text = called(lost, workers) + " has ended unexpectedly";
  if (state.step > 0) text += fmt::format(" in step {}", state.step);
  text +=
      fmt::format(" (last report: {}): ", state.waiting ? "in " + state.waiting->name : words_of_phase(state.phase));
  if (out_of_memory)
    return text + "the kernel has killed a process of this host for lack of memory, most likely this one";
  return text + (lost.process == 0 ? "its connection was closed and it has not connected again"
                                   : "it was killed by a signal, crashed, or ended with the error printed above");
}

std::string describe_late(const WorkerView& late, std::size_t workers, const std::optional<Waiting>& wait,
                          std::size_t waiters) {
  std::string text = called(late, workers) + " is late: ";
  if (wait)
    text += fmt::format(
        "{} in {} (call {} of its group), where {} waited for it for {:.1f} s; ",
        late.state.waiting && late.state.waiting->group == wait->group && late.state.waiting->number == wait->number
            ? "it makes no progress"
            : "it is missing",
        wait->name, wait->number, waiters == 1 ? "one other has" : fmt::format("{} others have", waiters),
        wait->seconds);
  return text + doing(late);
}

std::optional<HangReport> find_hang(const std::vector<WorkerView>& workers, double since_start,
                                    const WatchLimits& limits, const std::string& host) {
  if (std::ranges::none_of(workers, [](const WorkerView& worker) { return worker.state.joined || worker.ended; }))
    return judge_start(workers, since_start, limits.init, host);
  if (limits.hang <= 0) return std::nullopt;
  // Workers that cannot reach this watchdog are ignored: the reports of the others still show a hang.
  std::vector<const WorkerView*> watched, late;
  for (const WorkerView& worker : workers)
    if (worker.started && !worker.ended) watched.push_back(&worker);
  for (const WorkerView* worker : watched)
    if (worker->since_heard >= limits.hang) late.push_back(worker);
  if (!late.empty()) return about(late, workers);
  for (const WorkerView* worker : watched)
    if (!worker->state.waiting && worker->state.silent + worker->since_heard >= limits.hang) late.push_back(worker);
  if (!late.empty()) return about(late, workers);

  if (watched.empty() || std::ranges::any_of(workers, [](const WorkerView& worker) { return worker.ended; }) ||
      std::ranges::any_of(watched, [&](const WorkerView* worker) {
        return worker->state.silent < limits.hang || worker->since_heard >= limits.hang / 2;
      }))
    return std::nullopt;
  const std::vector<Crowd> crowds = crowds_of(workers);
  // All workers wait. Find those that wait in another call than the others and have not reached the others' call yet.
  for (const WorkerView* worker : watched) {
    const auto [wait, waiters] = wait_for(*worker, crowds);
    if (wait && (worker->state.waiting->group != wait->group || worker->state.waiting->number != wait->number))
      if (const auto own = worker->state.calls.find(wait->group);
          own != worker->state.calls.end() && own->second.number < wait->number)
        late.push_back(worker);
  }
  if (!late.empty()) return about(late, workers);
  HangReport hang;
  for (const WorkerView& worker : workers)
    if (!worker.started) hang.late.push_back(worker.rank);
  const Waiting& wait = *watched.front()->state.waiting;
  const std::string cause = hang.late.empty()
                                ? "the connection between their hosts hangs"
                                : fmt::format(
                                      "the cause is rank {} of {}, of which the watchdog has no report, or the "
                                      "connection between the hosts",
                                      list_of(hang.late), workers.size());
  hang.words = fmt::format("{} in {} (call {} of its group) without progress for {:.1f} s: {}",
                           watched.size() == 1 ? fmt::format("rank {} is", watched.front()->rank)
                                               : fmt::format("all {} watched workers are", watched.size()),
                           wait.name, wait.number, wait.seconds, cause);
  return hang;
}

}  // namespace polyhead
