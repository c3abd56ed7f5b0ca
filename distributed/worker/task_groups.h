// The tasks of a run by worker: which heads a worker holds, which groups it leads, and the data that it reads.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/manifest.h"
#include "datasets/sampling/loader.h"
#include "datasets/sampling/mixture.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description/description.h"
#include "distributed/options.h"
#include "distributed/planning/placement.h"

namespace polyhead {

struct TaskGroups {
  Placement placement;
  std::vector<std::unique_ptr<Communicator>> groups;  // [tasks]; null: this worker is no member
  std::vector<std::size_t> held;                      // tasks whose heads this worker holds, ascending
  std::vector<std::size_t> led;                       // those of them in whose group it is the first member

  bool leads(std::size_t task) const;
};

// Collective. Throws as placement_of().
TaskGroups make_task_groups(const TrainOptions& options, const Manifest& manifest,
                            const std::vector<MixtureEntry>& mixture, Communicator& world);

struct TaskReaders {
  std::vector<LoaderTask> train;                              // of the tasks held
  std::map<std::size_t, std::unique_ptr<SplitReader>> valid;  // by task; only those with samples
};

// Opens and checks the data of the tasks that this worker holds. Throws Error(data) naming the file.
TaskReaders open_readers(const TrainOptions& options, const Manifest& manifest, const ModelDescription& description,
                         const TaskGroups& tasks, int rank);

// Whether any task of the run has weights of samples. Throws Error(config) if a head that this worker holds does not
// use them.
bool check_weights(const Manifest& manifest, const std::vector<std::string>& tasks, const Model& model);

// Fills in the statistics of every task's train split on all workers. The leader of each task computes them.
// Collective.
void share_statistics(ModelDescription& description, const TaskReaders& readers, const TaskGroups& tasks,
                      Communicator& world);

}  // namespace polyhead
