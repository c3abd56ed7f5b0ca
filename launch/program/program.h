// The program: its subcommands, and how errors are reported.
#pragma once

#include <exception>
#include <span>
#include <string_view>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "launch/options.h"

namespace polyhead {

struct Command {
  std::string_view name;
  std::string_view summary;
  std::span<const Option> options;
  bool parallel = false;  // whether it may run under mpirun with several workers
  int (*run)(const Config& config, Communicator& world) = nullptr;  // returns the exit code
};

std::span<const Command> commands();

// Runs `polyhead SUBCOMMAND …` and returns the exit code. An error is printed as one paragraph. With several workers,
// it is printed by rank 0, or by the only rank that failed, which then ends the others.
int run_program(int argc, char** argv);

}  // namespace polyhead
