// The program: subcommands, and what happens when one of them fails.
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
  bool parallel = false;                                            // may run under mpirun with several workers
  int (*run)(const Config& config, Communicator& world) = nullptr;  // returns the exit code
};

std::span<const Command> commands();

// Runs `polyhead SUBCOMMAND …` and returns the exit code. An error is printed as one paragraph; under several workers
// by rank 0, or by the rank that alone failed, which then ends the others.
int run_program(int argc, char** argv);

// What an unexpected exception says, without the stack that LibTorch adds to its own.
std::string words_of(const std::exception& error);

}  // namespace polyhead
