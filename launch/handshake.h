// What workers that train together must have in common, compared before the first collective that depends on it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "distributed/trainer.h"
#include "launch/options.h"

namespace polyhead {

// What a worker was started with, in words, in the order in which a table shows it: "optimizer.lr" -> "0.001".
using Facts = std::vector<std::pair<std::string, std::string>>;

// Throws Error(config) on all workers where they differ, with a table of what differs and on which workers.
// Collective. `name`: of the collective.
void compare_workers(const std::string& name, const Facts& mine, Communicator& world);

// A row for each fact that is not the same everywhere: what, value, workers ("0-6, 8"). all: by rank; "" when all are
// the same.
std::string table_of_differences(const std::vector<Facts>& all);

// The command and its options as they were given, before anything is read by them. `config`: null for --help. Paths of
// data and of teachers may differ from host to host: their hashes count.
Facts facts_of_words(std::string_view command, const Config* config);

// What training depends on, after the options are resolved: program, libraries, options, data, kind of device,
// instruction set; for run.reproducible = world all that options.fingerprint holds. Throws as compare_workers.
void compare_training(const Config& resolved, const TrainOptions& options, const Manifest& manifest,
                      Communicator& world);

}  // namespace polyhead
