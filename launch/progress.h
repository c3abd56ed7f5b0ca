// Shows the progress of training on rank 0: a progress bar on a terminal, otherwise a line every few seconds.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

namespace polyhead {

class ProgressDisplay {
 public:
  // Steps [first_step, last_step] will follow. terminal: show the bar.
  ProgressDisplay(std::FILE* stream, bool terminal, std::int64_t first_step, std::int64_t last_step);
  ~ProgressDisplay();  // keeps a visible bar and ends its line
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  // Must be called after each step. It updates the display at most every 0.2 s on a terminal and every 5 s elsewhere,
  // and at the last step. now: seconds of a steady clock. plain: loss without label smoothing, of the tasks that have
  // it.
  void step(std::int64_t step, const std::map<std::string, double>& loss, const std::map<std::string, double>& plain,
            std::int64_t tokens, double now);
  // Prints text on lines of its own above the bar (evaluations, checkpoints).
  void note(const std::string& text);

 private:
  // Returns a line of at most `width` characters if possible. If the losses of all tasks do not fit, it has their mean
  // and the highest one.
  std::string line(std::int64_t step, double now, std::size_t width) const;
  void clear();

  std::FILE* stream_;
  bool terminal_;
  std::int64_t first_step_, last_step_;
  std::map<std::string, double> loss_, plain_;  // running means
  std::int64_t tokens_ = 0;                     // since the last update of the display
  double began_ = -1, shown_ = -1;
  double rate_ = 0;   // tokens/s
  bool bar_ = false;  // whether the current line shows a bar
};

}  // namespace polyhead
