// What training reports while it runs. Rank 0 calls its observers, in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/balancing/gradient_report.h"
#include "distributed/evaluation/attention_report.h"

namespace polyhead {

class Observer {
 public:
  struct Start {
    std::int64_t first_step = 1, steps = 0;  // first_step > 1: the run was resumed
    int workers = 1;
    std::int64_t encoder_parameters = 0;
    std::map<std::string, std::int64_t> head_parameters = {};
    std::string origin = {};     // which weights a new run starts from, for a person; "": random ones
    std::string placement = {};  // describe(Placement)
    std::string mixture = {};    // describe(MixtureOptions): shares of each phase, warnings, planned epochs
    std::string valid = {};      // which tasks are evaluated on a sample of valid; "": none
  };
  struct Step {
    std::int64_t step = 0;
    std::map<std::string, double> loss = {}, weight = {};  // of the active tasks
    // Of tasks with label smoothing: the mean negative log-likelihood of the targets alone.
    std::map<std::string, double> plain_loss = {};
    std::int64_t tokens = 0;
    double seconds = 0;
    double wait = 0;  // seconds of them spent waiting for data, the mean over workers
    std::uint64_t ids_hash = 0;
    double lr = 0, gradient_norm = 0;  // of the encoder
    // Learning rates of the heads of active tasks, where they differ from the encoder's.
    std::map<std::string, double> head_lr = {};
    bool skipped = false;  // a loss or gradient was not finite: no update
  };
  virtual ~Observer() = default;
  virtual void on_start(const Start&) {}
  virtual void on_warning(const std::string& /*message*/) {}
  virtual void on_step(const Step&) {}
  virtual void on_eval(std::int64_t /*step*/, const std::string& /*split*/, const std::string& /*task*/,
                       const std::map<std::string, double>& /*metrics*/) {}
  // Early stopping: `step` was the last one that the task took part in.
  virtual void on_finished(std::int64_t /*step*/, const std::string& /*task*/) {}
  // With every evaluation, if the attention weights are learned.
  virtual void on_attention(std::int64_t /*step*/, const std::string& /*split*/, const AttentionReport& /*report*/) {}
  // After a step whose gradients were measured. tasks: the names that report.tasks numbers.
  virtual void on_gradients(std::int64_t /*step*/, const std::vector<std::string>& /*tasks*/,
                            const GradientReport& /*report*/) {}
  // With every evaluation: how many times each task's samples have been used.
  virtual void on_epochs(std::int64_t /*step*/, const std::map<std::string, double>& /*epochs*/) {}
  virtual void on_checkpoint(std::int64_t /*step*/, const std::filesystem::path& /*folder*/,
                             std::uint64_t /*parameter_hash*/) {}
};

}  // namespace polyhead
