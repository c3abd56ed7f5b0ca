// The state of a worker as a line of JSON, in which watchdogs send it.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "distributed/watchdog/hang.h"

namespace polyhead {

nlohmann::json to_json(const WorkerState& state);
// Throws a std::exception if `json` is not what to_json() returns.
WorkerState worker_state_from_json(const nlohmann::json& json);
// Returns one line. Invalid UTF-8, as of a name that was cut, is replaced.
std::string line_of(const nlohmann::json& json);

}  // namespace polyhead
