// What rank 0 shows while training: a progress bar on a terminal, a line every few seconds elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

namespace polyhead {

class ProgressDisplay {
 public:
  // Steps [first_step, last_step] are to come. `terminal` chooses the bar.
  ProgressDisplay(std::FILE* stream, bool terminal, std::int64_t first_step, std::int64_t last_step);
  ~ProgressDisplay();  // leaves a bar standing and ends its line
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  // After a step; shows something when the last time was long enough ago (0.2 s on a terminal, 5 s elsewhere) or the
  // step is the last. `now`: seconds of a steady clock.
  // `plain`: of tasks with label smoothing, the loss without it.
  void step(std::int64_t step, const std::map<std::string, double>& loss, const std::map<std::string, double>& plain,
            std::int64_t tokens, double now);
  // Text lines of their own (evaluations, checkpoints), above the bar.
  void note(const std::string& text);

 private:
  // As long as `width` where that can be: of many tasks the mean and the highest loss, where all do not fit.
  std::string line(std::int64_t step, double now, std::size_t width) const;
  void clear();

  std::FILE* stream_;
  bool terminal_;
  std::int64_t first_step_, last_step_;
  std::map<std::string, double> loss_, plain_;  // running means
  std::int64_t tokens_ = 0;                     // since the last showing
  double began_ = -1, shown_ = -1;
  double rate_ = 0;   // tokens/s
  bool bar_ = false;  // a bar stands on the current line
};

}  // namespace polyhead
