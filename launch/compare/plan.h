// Plans the runs of a comparison: what each of them trains, and which runs are compared on which task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "datasets/manifest.h"
#include "launch/compare/protocol.h"
#include "launch/options.h"

namespace polyhead {

// OUT/NAME belongs to a run: run.ini is its configuration, run/ its run folder, log the output of training, and
// SPLIT.rows.json its results on a split.
struct ComparedRun {
  std::string name;
  std::filesystem::path folder;
  Config config;                   // resolved as by train
  std::vector<std::string> best;   // the values of run.best
  std::vector<std::string> tasks;  // to test, of those that the run trains
};

// A task on which two systems are compared.
struct ComparedTask {
  std::string task;
  std::string with;                        // of a pair: the other task; otherwise ""
  std::vector<std::size_t> first, second;  // indices of the systems' runs, by seed
};

struct ComparePlan {
  Until until = Until::steps;
  bool pairs = false;
  std::string first, second;  // names of the systems
  std::string split;
  std::vector<std::uint64_t> seeds;
  std::vector<ComparedRun> runs;    // in the order of training
  std::vector<ComparedTask> tasks;  // in the order of the data set
};

// Plans each task alone and all together, each task alone and each pair (--pairs), or two configurations (--against).
// Prints notes about the options. Throws Error(config) for options that are wrong or do not go together, and for a
// folder in OUT that holds another run. It writes nothing.
ComparePlan plan_comparison(const Config& config, const Manifest& manifest);

}  // namespace polyhead
