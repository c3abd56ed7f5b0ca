// Reads and writes the machine's figures as one section of an INI file, using an options table.
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
    Figure{"flops", "floating-point operations per second of one worker during training", &Machine::operations},
    Figure{"parameter_seconds", "seconds per step for each parameter that a worker holds: gradient, norm, update",
           &Machine::parameter_seconds},
    Figure{"crowding", "slow-down of a worker on a node whose slots are all used, relative to a node of its own; >= 1",
           &Machine::crowding},
    Figure{"node_bandwidth", "bytes per second between workers of a node", &Machine::node_bandwidth},
    Figure{"node_latency", "seconds per message between workers of a node", &Machine::node_latency},
    Figure{"window_bandwidth", "bytes per second when gradients are reduced in a node's shared memory",
           &Machine::window_bandwidth},
    Figure{"bandwidth", "bytes per second into and out of a node", &Machine::bandwidth},
    Figure{"latency", "seconds per message between nodes", &Machine::latency},
    Figure{"memory", "bytes that a worker needs besides the model", &Machine::memory},
    Figure{"activations", "bytes of memory in use per byte of counted activations", &Machine::activations},
};

std::vector<Option> table() {
  std::vector<Option> options = {{.section = "machine",
                                  .key = "slots",
                                  .type = OptionType::integer,
                                  .help = "number of workers that can compute on a node at the same time",
                                  .allowed = ">=1"}};
  for (const Figure& figure : kFigures)
    options.push_back(
        {.section = "machine", .key = figure.key, .type = OptionType::number, .help = figure.help, .allowed = ">0"});
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
