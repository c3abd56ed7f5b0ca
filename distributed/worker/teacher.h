// Teachers: the trained runs from which heads of this run learn (core/heads/distillation.h).
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "core/heads/model.h"
#include "datasets/manifest.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description/description.h"
#include "distributed/options.h"
#include "distributed/step/lesson.h"

namespace polyhead {

// Finds the teacher's checkpoint and its task, and fills in the step, the hash and the warnings. `manifest`: of the
// data set that the run in `run_dir` trains on; `task`: one of its tasks. Throws
// - Error(config) if the teacher is that run itself, has no such checkpoint or no averages, has no task with the same
//   kind, labels, outputs and tokenizer, or has a smaller maximum input length;
// - Error(data) if the checkpoint is damaged.
void resolve_teacher(TeacherOptions& teacher, const TaskInfo& task, const Manifest& manifest,
                     const std::filesystem::path& run_dir);

// Throws Error(config) on every worker if they have found different weights, for example of a teacher that is still
// being trained. Collective. The map is by the task's name.
void agree_on_teachers(const std::map<std::string, TeacherOptions>& teachers, Communicator& world);

// The teachers of one worker's tasks. A run that teaches several of them is loaded once.
class Teachers {
 public:
  // of: by the task's index in `student`. Throws as load_trained does, and Error(config) if a teacher has another kind
  // of input.
  Teachers(const std::map<std::size_t, TeacherOptions>& of, const ModelDescription& student, const std::string& device,
           int local_rank, int threads);

  bool empty() const { return teachers_.empty(); }
  // Runs each teacher on the samples of its tasks, as in evaluation. The result is by the slice's index in the batch.
  std::map<std::size_t, Lesson> read(const Batch& batch) const;

 private:
  struct Pupil {
    std::size_t task = 0;  // in the teacher's run
    double share = 0, temperature = 0;
  };
  struct Teacher {
    std::unique_ptr<Model> model;
    std::map<std::size_t, Pupil> pupils;  // by the task's index in this run
  };
  std::vector<Teacher> teachers_;
};

// The teachers of the tasks that this worker holds. Collective; warn: called on rank 0. Throws as agree_on_teachers().
Teachers make_teachers(const TrainOptions& options, const ModelDescription& student,
                       const std::vector<std::size_t>& held, Communicator& world,
                       const std::function<void(const std::string&)>& warn);

}  // namespace polyhead
