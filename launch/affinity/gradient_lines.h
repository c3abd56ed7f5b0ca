// Reads the lines of gradients of a run's metrics.jsonl, each with the losses and the learning rate of its step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/metrics/affinity.h"

namespace polyhead {

struct GradientLines {
  std::vector<std::string> tasks;  // in the order of their first line
  AffinitySums sums;
  std::int64_t steps = 0, first = 0, last = 0;  // steps that have been added to the sums
  std::int64_t sketched = 0;                    // of these, with gradients of a sketch
  std::int64_t without_loss = 0;                // lines of gradients left out, as there is no step line for them
  std::int64_t damaged = 0, first_damaged = 0;  // lines left out, and the number of the first, from 1
};

// Reads the steps from `from` to `to` (0: to the last one) of RUN_DIR/metrics.jsonl. The file may be one that training
// writes at this moment; an incomplete last line is ignored.
// - Damaged lines are left out, as training does when it resumes.
// - Throws Error(data) if the file cannot be read, if no line of gradients is left, which says what makes training
// write
//   them, and for a whole line that does not have the form of docs/reference/files.md, with its number.
GradientLines read_gradient_lines(const std::filesystem::path& run_dir, std::int64_t from, std::int64_t to);

}  // namespace polyhead
