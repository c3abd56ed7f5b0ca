// Measures numbers of threads with products of matrices.
#include "launch/threads.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "core/base/error.h"
#include "core/model/device.h"
#include "core/model/torch.h"

namespace polyhead {
namespace {

constexpr int kRounds = 5, kLayers = 4;
constexpr std::int64_t kTokens = 256, kDim = 256, kFfn = 1024;
constexpr double kWorth = 0.9;  // a larger number of threads must take at most this fraction of the time

struct Candidate {
  int threads;
  std::vector<double> seconds;
  double median() {
    std::ranges::sort(seconds);
    return seconds[seconds.size() / 2];
  }
};

double layer_seconds(const torch::Tensor& input, const torch::Tensor& up, const torch::Tensor& down) {
  const auto began = std::chrono::steady_clock::now();
  for (int layer = 0; layer < kLayers; ++layer) torch::gelu(input.mm(up)).mm(down);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() / kLayers;
}

}  // namespace

int threads_of_environment() {
  const char* value = std::getenv("OMP_NUM_THREADS");
  return value == nullptr ? 0 : std::clamp(std::atoi(value), 0, 1 << 16);
}

ThreadChoice measure_threads(int at_most) {
  if (at_most <= 1) return {1, ""};
  const torch::NoGradGuard no_gradient;
  const torch::Tensor input = torch::full({kTokens, kDim}, 0.5F), up = torch::full({kDim, kFfn}, 0.01F),
                      down = torch::full({kFfn, kDim}, 0.01F);
  std::vector<Candidate> candidates;
  for (int threads = at_most; threads > 1; threads = (threads + 1) / 2) candidates.push_back({threads, {}});
  candidates.push_back({1, {}});
  for (int round = 0; round <= kRounds; ++round)
    for (Candidate& candidate : candidates) {
      at::set_num_threads(candidate.threads);
      const double seconds = layer_seconds(input, up, down);
      if (round > 0) candidate.seconds.push_back(seconds);  // the first round is a warm-up
    }
  Candidate* best = &candidates.back();
  for (auto more = candidates.rbegin() + 1; more != candidates.rend(); ++more)
    if (more->median() < kWorth * best->median()) best = &*more;
  Candidate& other = best->threads == 1 ? candidates.front() : candidates.back();
  const std::string reason = fmt::format(
      "computing with {} of {} threads{} (measured: a feed-forward layer takes {:.1f} ms with {}, {:.1f} ms with {}); "
      "OMP_NUM_THREADS or the option for threads sets another number, which changes the last bits of results",
      best->threads, at_most, best->threads < at_most ? ", as more are not at least 10 % faster" : "",
      1000 * best->median(), best->threads, 1000 * other.median(), other.threads);
  at::set_num_threads(best->threads);
  return {best->threads, reason};
}

ThreadChoice choose_threads(int given, const CpuShare& cpus, int workers, const std::string& device) {
  if (given > 0) return {given, ""};
  if (const int threads = threads_of_environment(); threads > 0) return {threads, ""};
  if (workers > 1 || cpus.workers > 1 || resolve_device(device) != "cpu") return {cpus.threads(), ""};
  return measure_threads(cpus.threads());
}

ThreadChoice settle_threads(Config& config, const TrainOptions& options, const CpuShare& cpus, int workers) {
  if (options.threads > 0 || workers > 1 || options.micro_batch > 0) return {options.threads, ""};
  const std::filesystem::path before = options.run_dir / "config.ini";
  std::error_code code;
  ThreadChoice choice;
  std::string origin = threads_of_environment() > 0 ? "OMP_NUM_THREADS" : "measured";
  if (threads_of_environment() == 0 && std::filesystem::exists(before, code)) {
    origin = before.string();
    try {
      choice.threads = static_cast<int>(read_config(train_options(), before).integer("run.threads"));
    } catch (const Error&) {  // the check of the run folder reports the error
      choice.threads = 0;
    }
    if (choice.threads == 0) choice.threads = cpus.threads();  // the run was started by a version that did not measure
  } else {
    choice = choose_threads(0, cpus, workers, options.device);
  }
  config.resolve("run.threads", std::to_string(choice.threads), origin);
  return choice;
}

}  // namespace polyhead
