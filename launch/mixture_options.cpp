// Converts options to a mixture and its phases.
#include "launch/mixture_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/numbers.h"
#include "core/base/text.h"
#include "launch/ini.h"

namespace polyhead {
namespace {

template <class Number>
bool parse(std::string_view text, Number& value) {
  return read_number(text, value) == NumberProblem::none;
}

// Parses "2000 uniform", "4000 temperature 5" or "6000 explicit section=2 en-it=1". `where` begins the messages.
MixturePhase parse_phase(const std::string& text, const std::string& where, const std::vector<std::string>& tasks,
                         std::int64_t cap) {
  const std::vector<std::string> kinds = {"proportional", "uniform", "temperature", "explicit"};
  const auto fail = [&](const std::string& what) { throw Error(Exit::config, where + what); };
  std::istringstream stream(text);
  std::string word, kind;
  MixturePhase phase;
  if (!(stream >> word) || !parse(word, phase.step) || phase.step < 2)
    fail(fmt::format("begins with '{}', expected the step at which it starts, 2 or more", word));
  if (!(stream >> kind) || std::ranges::count(kinds, kind) == 0)
    fail(fmt::format("has the kind '{}'{}, expected {}", kind, did_you_mean(kind, kinds), fmt::join(kinds, ", ")));
  std::vector<std::string> arguments;
  while (stream >> word) arguments.push_back(word);
  Mixture& mixture = phase.mixture;
  mixture.kind = kind;
  mixture.cap = cap;
  if (kind == "temperature") {
    if (arguments.size() != 1 || !parse(arguments[0], mixture.temperature) || !std::isfinite(mixture.temperature) ||
        mixture.temperature <= 0)
      fail("needs one number above 0 after temperature, as in '4000 temperature 5'");
  } else if (kind == "explicit") {
    if (arguments.empty()) fail("needs TASK=RATE after explicit, as in '6000 explicit section=2 en-it=1'");
    for (const std::string& task : tasks) mixture.rates[task] = 0;
    std::vector<std::string> named;
    for (const std::string& argument : arguments) {
      const std::size_t equals = argument.rfind('=');
      const std::string task = argument.substr(0, equals);
      double rate = -1;
      if (equals == std::string::npos || !parse(std::string_view(argument).substr(equals + 1), rate) ||
          !std::isfinite(rate) || rate < 0)
        fail(fmt::format("has '{}', expected TASK=RATE with a rate of 0 or more", argument));
      if (std::ranges::count(tasks, task) == 0)
        fail(fmt::format("names the task '{}'{}, but the run's tasks are {}", task, did_you_mean(task, tasks),
                         fmt::join(tasks, ", ")));
      if (std::ranges::count(named, task) > 0) fail(fmt::format("names task {} twice; keep one", task));
      named.push_back(task);
      mixture.rates[task] = rate;
    }
    if (std::ranges::all_of(mixture.rates, [](const auto& rate) { return rate.second == 0; }))
      fail("has only rates of 0; give at least one task a rate above 0");
  } else if (!arguments.empty()) {
    fail(fmt::format("has '{}' after {}, which has no arguments; separate phases with commas", arguments[0], kind));
  }
  return phase;
}

Mixture first_mixture(const Config& config, const std::vector<std::string>& tasks) {
  Mixture mixture;
  read_into(mixture, config, "mixture");
  for (const std::string& name : tasks) {
    LaunchTaskOptions task;
    read_into(task, config, "task." + name);
    if (task.rate) mixture.rates[name] = *task.rate;
  }
  return mixture;
}

}  // namespace

MixtureOptions mixture_options(const Config& config, const std::vector<std::string>& tasks, const std::string& phases) {
  MixtureOptions options;
  read_into(options, config, "mixture");
  options.phases = {{1, first_mixture(config, tasks)}};
  if (!phases.empty()) {
    std::istringstream stream(phases);
    for (std::string text; std::getline(stream, text, ',');) {
      text = trim(text);
      const std::string where = fmt::format("{}: the phase '{}' ", config.quote("mixture.phases"), text);
      const MixturePhase phase = parse_phase(text, where, tasks, options.phases.front().mixture.cap);
      if (phase.step <= options.phases.back().step)
        throw Error(Exit::config,
                    fmt::format("{}does not begin after the one before it (step {}); sort the phases by step", where,
                                options.phases.back().step));
      if (phase.step > config.integer("run.steps"))
        throw Error(Exit::config, fmt::format("{}never begins, as run.steps is {}; leave the phase out or train longer",
                                              where, config.integer("run.steps")));
      options.phases.push_back(phase);
    }
  }
  return options;
}

}  // namespace polyhead
