// Converts states to lines and back, and checks what another process sent.
#include "distributed/watchdog/state_json.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace polyhead {
namespace {

using Json = nlohmann::json;

// Returns a number from a line, which must be at least 0.
double not_negative(const Json& json) {
  const auto value = json.get<double>();
  if (!(value >= 0)) throw Error(Exit::internal, "a negative number in a line of the watchdog");
  return value;
}

}  // namespace

Json to_json(const WorkerState& state) {
  Json json = {{"pid", state.pid},          {"host", state.host},     {"joined", state.joined}, {"phase", state.phase},
               {"in", state.phase_seconds}, {"silent", state.silent}, {"step", state.step}};
  if (state.waiting)
    json["waiting"] = {state.waiting->name, state.waiting->group, state.waiting->number, state.waiting->seconds};
  json["calls"] = Json::array();
  for (const auto& [group, call] : state.calls) json["calls"].push_back({group, call.number, call.name});
  return json;
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

WorkerState worker_state_from_json(const Json& json) {
  // The process may be signalled, so it must be neither a group (0, negative) nor init.
  const auto pid = json.at("pid").get<std::int64_t>();
  if (!json.at("pid").is_number_integer() || pid <= 1 || pid > std::numeric_limits<int>::max())
    throw Error(Exit::internal, fmt::format("{} is not the id of a process", pid));
  WorkerState state{.pid = static_cast<int>(pid),
                    .host = json.at("host"),
                    .joined = json.at("joined"),
                    .phase = json.at("phase"),
                    .phase_seconds = not_negative(json.at("in")),
                    .silent = not_negative(json.at("silent")),
                    .step = json.at("step")};
  if (json.contains("waiting")) {
    const Json& waiting = json["waiting"];
    state.waiting = Waiting{waiting.at(0), waiting.at(1), waiting.at(2), not_negative(waiting.at(3))};
  }
  for (const Json& call : json.at("calls")) state.calls[call.at(0)] = {call.at(1), call.at(2)};
  return state;
}

}  // namespace polyhead
