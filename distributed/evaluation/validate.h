// An evaluation of all tasks of a run on valid, while it trains.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "datasets/dataset.h"
#include "datasets/tokenizer/tokenizer.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description/description.h"
#include "distributed/evaluation/attention_report.h"
#include "distributed/evaluation/early_stopping.h"

namespace polyhead {

// The tasks of this worker.
struct ValidationTasks {
  const std::map<std::size_t, std::unique_ptr<SplitReader>>& readers;  // valid, of the tasks that it holds
  const std::vector<std::unique_ptr<Communicator>>& groups;            // [tasks]
  const std::vector<std::size_t>& led;                                 // tasks that it reports
};

struct ValidationRound {
  bool stopped = false;  // `stop` was true on a worker; the other fields are then not valid
  ValidationResults results;
  std::map<std::size_t, AttentionSums> attention;  // by task; only those whose attention weights are learned
};

// Each group evaluates its tasks; all workers get the same result. Collective. samples: maximum per task, 0: all.
ValidationRound validate(const Model& model, const ModelDescription& description, const ValidationTasks& tasks,
                         const Tokenizer& tokenizer, std::int64_t samples, const std::function<bool()>& stop,
                         Communicator& world);

// Returns a message that lists the tasks with more valid samples than an evaluation uses; "" if there are none.
std::string describe_valid(const Manifest& manifest, const std::vector<std::string>& tasks, std::int64_t samples);

}  // namespace polyhead
