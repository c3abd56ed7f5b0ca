// Teachers: the trained runs that heads of this run follow (core/heads/distillation.h).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "core/heads/head.h"
#include "datasets/manifest.h"
#include "distributed/communicator/communicator.h"
#include "distributed/trained.h"

namespace polyhead {

// A task's teacher: a task of another run.
struct TeacherOptions {
  std::filesystem::path run_dir;  // empty: the task has none
  Weights weights;
  std::string task;  // its name in the teacher's run; "": as here, or the only one of the kind
  std::string hash;  // weights_hash, 16 hexadecimal digits
  double share = 0.5, temperature = 2;
  std::vector<std::string> warnings = {};  // damaged checkpoints that were passed over
};

// Finds the teacher's checkpoint, whose step becomes weights.checkpoint, and its task; fills in the hash and the
// warnings. `manifest`: of the data set that the run of `run_dir` trains on, `task`: one of its tasks. Throws
// Error(config) when the teacher is that run itself, holds no such checkpoint or averages, has no task of the same
// kind, labels, outputs and tokenizer, or cannot read inputs so long; Error(data) when it is damaged.
void resolve_teacher(TeacherOptions& teacher, const TaskInfo& task, const Manifest& manifest,
                     const std::filesystem::path& run_dir);

// Throws Error(config) on every worker when they have found different weights, as of a teacher that still trains.
// Collective; by the task's name.
void agree_on_teachers(const std::map<std::string, TeacherOptions>& teachers, Communicator& world);

// What a teacher has read of a slice.
struct Lesson {
  const Head* head;
  HeadInput input;
  TaskSlice slice;
  double share, temperature;

  // Makes the outputs, which may be large, when they are needed.
  Distillation distillation() const;
};

// The teachers of one worker's tasks; a run that teaches several is loaded once.
class Teachers {
 public:
  // of: by the task's index in `student`. Throws as load_trained, and Error(config) when a teacher reads another input.
  Teachers(const std::map<int, TeacherOptions>& of, const ModelDescription& student, const std::string& device,
           int local_rank, int threads);

  // One pass of each teacher over its tasks' samples, as in evaluation: by the slice's index in the batch.
  std::map<std::size_t, Lesson> read(const Batch& batch) const;

 private:
  struct Pupil {
    int task = 0;  // in the teacher's run
    double share = 0, temperature = 0;
  };
  struct Teacher {
    std::unique_ptr<Model> model;
    std::map<int, Pupil> pupils;  // by the task's index in this run
  };
  std::vector<Teacher> teachers_;
};

}  // namespace polyhead
