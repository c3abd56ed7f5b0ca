// Cleans up before a signal ends the process, for commands that save nothing when they are interrupted.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace polyhead {

class EndOnSignal {
 public:
  // While this object lives, the first INT (Ctrl-C), TERM or HUP calls `clean` on another thread. If that returns a
  // line, it is written to stderr, "WHO: SIGNAL: LINE.", and the process ends by the signal, which is exit code 130 or
  // 143 in a shell. If it returns "", the process continues. A second signal ends it at once. INT and HUP stay ignored
  // if they were ignored before. At most one object may exist.
  EndOnSignal(std::string who, std::function<std::string()> clean);
  ~EndOnSignal();
  EndOnSignal(const EndOnSignal&) = delete;
  EndOnSignal& operator=(const EndOnSignal&) = delete;

 private:
  void wait();

  std::string who_;
  std::function<std::string()> clean_;
  std::thread thread_;
};

}  // namespace polyhead
