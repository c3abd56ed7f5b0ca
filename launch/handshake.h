// Checks that workers which train together were started alike, before the first collective that depends on it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "distributed/training/trainer.h"
#include "launch/options.h"

namespace polyhead {

// How a worker was started, as names and values in the order of a table: "optimizer.lr" -> "0.001".
using Facts = std::vector<std::pair<std::string, std::string>>;

// Throws Error(config) on all workers if they differ, with a table of the differences and the workers that have each
// value. name: of the collective. Collective.
void compare_workers(const std::string& name, const Facts& mine, Communicator& world);

// Returns a table with a row for each value that differs: what, value, workers ("0-6, 8"); "" if all are equal. all: by
// rank.
std::string table_of_differences(const std::vector<Facts>& all);

// Returns the command and its options as they were given, before anything is read. config: null for --help. Paths of
// data and of teachers are left out, because they may differ between hosts; their hashes are compared.
Facts facts_of_words(std::string_view command, const Config* config);

// Compares what training depends on, after the options are resolved: program, libraries, options, data, kind of device,
// instruction set; with run.reproducible = world also options.fingerprint. Throws as compare_workers().
void compare_training(const Config& resolved, const TrainOptions& options, const Manifest& manifest,
                      Communicator& world);

}  // namespace polyhead
