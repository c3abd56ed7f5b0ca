// Shows a comparison: tables for people, JSON for scripts.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "launch/compare/comparison.h"

namespace polyhead {

// Returns a table of the differences with one row per task, lines about all tasks (delta m, the tasks that lost, the
// worst drop), and a table of the generalization gaps with one row per task and system.
std::string format_comparison(const Comparison& comparison);
nlohmann::json json_of(const Comparison& comparison);

// The same for pairs: the first system is a task alone, the second the task together with another one.
// - format_transfer() returns a matrix of the differences of each task (rows) with each other task (columns), and a
//   table with one row per pair.
// - json_of_transfer() has in each task an object "with": the differences by the other task.
std::string format_transfer(const Comparison& comparison);
nlohmann::json json_of_transfer(const Comparison& comparison);

}  // namespace polyhead
