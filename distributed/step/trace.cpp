// Joins the lines of all workers on rank 0.
#include "distributed/step/trace.h"

#include <fmt/format.h>

#include <system_error>

#include "core/base/error.h"
#include "core/base/files.h"
#include "distributed/communicator/timeline.h"

namespace polyhead {

void StepTrace::begin_step(std::int64_t step) {
  Timeline::of_process().set_step(step);
  if (tracing_ || step < first_ || step > last_) return;
  tracing_ = true;
  Timeline::of_process().start_trace();
}

void StepTrace::end_step(std::int64_t step, Communicator& world, const std::function<void(const std::string&)>& warn,
                         bool over) {
  if (!tracing_ || (step != last_ && !over)) return;
  tracing_ = false;
  const auto events = Timeline::of_process().stop_trace();
  const auto all = world.all_gather_strings("trace", chrome_trace_lines(events, world.rank(), host_));
  if (world.rank() != 0) return;
  std::string text = "[\n";
  for (const std::string& lines : all) text += lines;
  text.replace(text.size() - 2, 2, "\n]\n");  // no comma after the last
  const std::filesystem::path folder = run_dir_ / "trace";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  try {
    write_file_atomically(folder / fmt::format("steps-{}-{}.json", first_, last_), text);
  } catch (const Error& failure) {
    warn(fmt::format("{}: the trace was not written", failure.what()));
  }
}

}  // namespace polyhead
