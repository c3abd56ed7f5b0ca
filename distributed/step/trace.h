// Traces some steps of a run. Writes RUN/trace/steps-FIRST-LAST.json, one file with the events of all workers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "distributed/communicator/communicator.h"

namespace polyhead {

class StepTrace {
 public:
  // Traces steps `first` to `last`; 0: none. host: the name of this worker's host.
  StepTrace(std::filesystem::path run_dir, std::int64_t first, std::int64_t last, std::string host)
      : run_dir_(std::move(run_dir)), host_(std::move(host)), first_(first), last_(last) {}

  void begin_step(std::int64_t step);
  // Writes the file after the last step, or now if `over`. Collective. warn: called on rank 0 when the file cannot be
  // written, which does not end the run.
  void end_step(std::int64_t step, Communicator& world, const std::function<void(const std::string&)>& warn,
                bool over = false);

 private:
  std::filesystem::path run_dir_;
  std::string host_;
  std::int64_t first_, last_;
  bool tracing_ = false;
};

}  // namespace polyhead
