// Shows the progress of training.
#include "launch/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cmath>

#include "core/base/text.h"
#include "launch/table.h"

namespace polyhead {
namespace {

std::size_t columns(std::FILE* stream) {
  winsize size = {};
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void update(std::map<std::string, double>& means, const std::map<std::string, double>& values) {
  for (const auto& [task, value] : values) {
    const auto [known, fresh] = means.try_emplace(task, value);
    if (!fresh && std::isfinite(value)) known->second += 0.1 * (value - known->second);
  }
}

std::string mean_and_worst(const std::map<std::string, double>& loss) {
  if (loss.empty()) return "";
  double sum = 0;
  auto worst = loss.begin();
  for (auto task = loss.begin(); task != loss.end(); ++task) {
    sum += task->second;
    if (!(task->second <= worst->second)) worst = task;  // NaN counts as the worst loss
  }
  return fmt::format("  loss mean {:.3f}, worst {} {:.3f}", sum / static_cast<double>(loss.size()), worst->first,
                     worst->second);
}

}  // namespace

ProgressDisplay::ProgressDisplay(std::FILE* stream, bool terminal, std::int64_t first_step, std::int64_t last_step)
    : stream_(stream), terminal_(terminal), first_step_(first_step), last_step_(last_step) {}

ProgressDisplay::~ProgressDisplay() {
  if (bar_) std::fputc('\n', stream_);
  std::fflush(stream_);
}

void ProgressDisplay::step(std::int64_t step, const std::map<std::string, double>& loss,
                           const std::map<std::string, double>& plain, std::int64_t tokens, double now) {
  if (began_ < 0) began_ = shown_ = now;  // the time of the first step is not known here and is not typical
  update(loss_, loss);
  update(plain_, plain);
  tokens_ += step == first_step_ ? 0 : tokens;
  if (step != last_step_ && now - shown_ < (terminal_ ? 0.2 : 5.0)) return;
  if (now > shown_) {
    const double current = static_cast<double>(tokens_) / (now - shown_);
    rate_ = rate_ == 0 ? current : rate_ + 0.3 * (current - rate_);
  }
  tokens_ = 0;
  shown_ = now;
  clear();
  const std::size_t width = terminal_ ? columns(stream_) - 1 : std::string::npos;
  std::string text = line(step, now, width);
  if (terminal_) {
    text = text.substr(0, width);
    bar_ = true;
  } else {
    text += '\n';
  }
  std::fputs(text.c_str(), stream_);
  std::fflush(stream_);
}

void ProgressDisplay::note(const std::string& text) {
  clear();
  std::fputs((text + "\n").c_str(), stream_);
  std::fflush(stream_);
}

std::string ProgressDisplay::line(std::int64_t step, double now, std::size_t width) const {
  const std::int64_t total = std::max<std::int64_t>(1, last_step_);
  const std::int64_t done = step - first_step_;  // since the clock started, after the first step
  std::string text = fmt::format("step {}/{}", step, last_step_);
  std::string bar;
  if (terminal_) {
    const auto filled = static_cast<std::size_t>(20 * step / total);
    bar = fmt::format("[{}{}] ", std::string(filled, '='), std::string(20 - std::min<std::size_t>(20, filled), ' '));
  }
  if (done > 0) {
    const double left = (now - began_) / static_cast<double>(done) * static_cast<double>(last_step_ - step);
    text += fmt::format("  {} tokens/s  {} left", with_commas(std::llround(rate_)), duration(left));
  }
  std::string all = "  loss";
  for (const auto& [task, value] : loss_) {
    all += fmt::format(" {} {:.3f}", task, value);
    if (const auto plain = plain_.find(task); plain != plain_.end())
      all += fmt::format(" ({:.3f} without smoothing)", plain->second);
  }
  // A narrow terminal shows the mean and the worst task; an even narrower one shows no bar.
  if (bar.size() + text.size() + all.size() > width) all = mean_and_worst(loss_);
  if (bar.size() + text.size() + all.size() > width) bar.clear();
  return bar + text + all;
}

void ProgressDisplay::clear() {
  if (bar_) std::fputs("\r\033[K", stream_);
  bar_ = false;
}

}  // namespace polyhead
