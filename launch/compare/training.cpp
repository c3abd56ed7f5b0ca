// Starts runs while there is room, and waits for them.
#include "launch/compare/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/base/files.h"
#include "launch/compare/child_program.h"
#include "launch/host.h"
#include "launch/run_status.h"
#include "launch/say.h"
#include "launch/signals.h"
#include "launch/table.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

using Clock = std::chrono::steady_clock;

std::string last_line(const fs::path& log) {
  std::istringstream text(read_file(log));
  std::string last;
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) last = line;
  return last;
}

bool trained_already(const ComparedRun& run) try {
  const auto status = read_status(run.folder / "run");
  return status && status->state == "done";
} catch (const Error& error) {
  say("{}: {}; training resumes from its newest checkpoint\n", run.name, error.what());
  return false;
}

Error failure_of(const ComparedRun& run, int code) {
  const bool known = code == 65 || code == 73 || code == 76 || code == 78;
  return {known ? static_cast<Exit>(code) : Exit::internal,
          fmt::format("the run {} ended with code {}: {} (all that it printed: {}). After the cause is fixed, the same "
                      "command resumes it",
                      run.name, code, last_line(run.folder / "log"), (run.folder / "log").string())};
}

class Training {
 public:
  Training(const ComparePlan& plan, const TrainingOptions& options, Communicator& world)
      : plan_(plan),
        jobs_(std::min(static_cast<std::size_t>(options.jobs), plan.runs.size())),
        launched_(!options.launcher.empty()) {
    std::istringstream stream(options.launcher);
    for (std::string word; stream >> word;) command_.push_back(word);
    command_.push_back(fs::read_symlink("/proc/self/exe").string());
    if (jobs_ == 1 || threads_of_environment() > 0) return;
    // The number of workers that the launcher starts, and their hosts, are not known.
    threads_ = launched_ ? 1 : std::max(1, cpus_from_affinity(world).cpus / static_cast<int>(jobs_));
  }

  bool train() {
    while (true) {
      while (!ending() && running_.size() < jobs_ && next_ < plan_.runs.size()) start(next_++);
      if (ending())
        for (Running& one : running_) one.program.ask_to_end();
      settle_ended();
      if (running_.empty() && (ending() || next_ == plan_.runs.size())) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (failure_) throw Error(*failure_);
    if (!ending()) return true;
    if (!told_)
      say("stopped by a signal{}; the same command resumes from here\n",
          next_ < plan_.runs.size() ? fmt::format(" before {} was trained", plan_.runs[next_].name) : "");
    return false;
  }

 private:
  struct Running {
    Running(std::size_t index, const std::vector<std::string>& command, const fs::path& log)
        : run(index), program(command, log) {}
    std::size_t run;
    Clock::time_point began = Clock::now();
    ChildProgram program;
  };

  bool ending() const { return stop_requested() || preempted_ || failure_; }

  std::string where(std::size_t run) const {
    return fmt::format("{} of {}: {}", run + 1, plan_.runs.size(), plan_.runs[run].name);
  }

  void start(std::size_t index) try {
    const ComparedRun& run = plan_.runs[index];
    if (trained_already(run)) {
      say("{}: is already trained\n", where(index));
      return;
    }
    std::error_code code;
    fs::create_directories(run.folder, code);
    if (code)
      throw Error(Exit::cannot_write,
                  fmt::format("cannot create the folder {}: {}", run.folder.string(), code.message()));
    if (const std::string note = unfinished(run.folder / "run"); !note.empty()) say("{}: {}\n", where(index), note);
    write_file_atomically(run.folder / "run.ini", with_threads(run).ini());
    std::vector<std::string> command = command_;
    command.insert(command.end(), {"train", "-c", (run.folder / "run.ini").string()});
    if (jobs_ > 1) say("{}: trains\n", where(index));
    running_.emplace_back(index, command, run.folder / "log");
  } catch (const Error& error) {
    failure_ = error;
  }

  // Returns the configuration with the run's share of the threads.
  Config with_threads(const ComparedRun& run) const {
    Config config = run.config;
    std::error_code code;
    const bool keeps_its_own = !launched_ && fs::exists(run.folder / "run" / "config.ini", code);
    if (threads_ > 0 && config.integer("run.threads") == 0 && config.text("run.reproducible") != "world" &&
        !keeps_its_own)
      config.resolve("run.threads", std::to_string(threads_), "--jobs");
    return config;
  }

  void settle_ended() {
    for (auto one = running_.begin(); one != running_.end();) {
      const std::optional<int> code = one->program.ended();
      if (code) settle(one->run, *code, one->began);
      one = code ? running_.erase(one) : std::next(one);
    }
  }

  void settle(std::size_t index, int code, Clock::time_point began) {
    const ComparedRun& run = plan_.runs[index];
    if (code == 0) {
      say("{}: trained in {}\n", where(index), duration(std::chrono::duration<double>(Clock::now() - began).count()));
    } else if (failure_) {
      say("{}: stopped because another run failed; the same command resumes it\n", where(index));
    } else if (ending() || code == static_cast<int>(Exit::preempted)) {
      // After a signal, mpirun may end with an exit code of its own.
      say("{}: stopped by a signal; the same command resumes from here\n", where(index));
      preempted_ = told_ = true;
    } else {
      failure_ = failure_of(run, code);
    }
  }

  const ComparePlan& plan_;
  std::size_t jobs_;
  bool launched_;
  int threads_ = 0;  // of a run for which no number is given; 0: train chooses
  std::vector<std::string> command_;
  std::list<Running> running_;
  std::size_t next_ = 0;
  bool preempted_ = false, told_ = false;
  std::optional<Error> failure_;
};

}  // namespace

bool train_runs(const ComparePlan& plan, const TrainingOptions& options, Communicator& world) {
  return Training(plan, options, world).train();
}

}  // namespace polyhead
