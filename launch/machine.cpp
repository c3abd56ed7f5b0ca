// One section of an INI file, by way of an options table.
#include "launch/machine.h"

#include <fmt/format.h>

#include <array>

#include "core/base/files.h"
#include "launch/options.h"

namespace polyhead {
namespace {

struct Figure {
  std::string_view key, help;
  double Machine::*value;
};

constexpr std::array kFigures = {
    Figure{"flops", "floating-point operations a second of one worker in training", &Machine::operations},
    Figure{"parameter_seconds", "seconds of a step for each parameter that a worker holds: gradient, norm, update",
           &Machine::parameter_seconds},
    Figure{"crowding", "times as long as alone that a worker takes on a node whose slots are full; >= 1",
           &Machine::crowding},
    Figure{"node_bandwidth", "bytes a second within a node", &Machine::node_bandwidth},
    Figure{"node_latency", "seconds of a message within a node", &Machine::node_latency},
    Figure{"window_bandwidth", "bytes a second of gradients in a node's shared memory", &Machine::window_bandwidth},
    Figure{"bandwidth", "bytes a second into and out of a node", &Machine::bandwidth},
    Figure{"latency", "seconds of a message between nodes", &Machine::latency},
    Figure{"memory", "bytes of a worker besides the model", &Machine::memory},
    Figure{"activations", "bytes used for a byte of activations as counted", &Machine::activations},
};

std::vector<Option> table() {
  std::vector<Option> options = {
      {"machine", "slots", OptionType::integer, "", "workers that a node computes with at once", false, ">=1"}};
  for (const Figure& figure : kFigures)
    options.push_back({"machine", figure.key, OptionType::number, "", figure.help, false, ">0"});
  return options;
}

}  // namespace

Machine read_machine(const std::filesystem::path& file) {
  const std::vector<Option> options = table();
  const Config config = read_config(options, file);
  Machine machine;
  if (config.has("machine.slots")) machine.slots = config.integer("machine.slots");
  for (const Figure& figure : kFigures)
    if (const std::string name = fmt::format("machine.{}", figure.key); config.has(name))
      machine.*figure.value = config.number(name);
  return machine;
}

void write_machine(const std::filesystem::path& file, const Machine& machine, const std::string& comment) {
  std::string text = fmt::format("# {}\n[machine]\n{:<36} # {}\n", comment, fmt::format("slots = {}", machine.slots),
                                 table().front().help);
  for (const Figure& figure : kFigures)
    text += fmt::format("{:<36} # {}\n", fmt::format("{} = {:.4g}", figure.key, machine.*figure.value), figure.help);
  write_file_atomically(file, text);
}

}  // namespace polyhead
