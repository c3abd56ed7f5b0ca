// Gradients summed in buckets during backward against the same buckets after it: forward, backward and sum of an
// encoder, in turns, one thread a worker, with gradients in shared and in plain memory.
//   mpirun -n 2 --bind-to none build/cpu/bench/gradient_sync
#include "distributed/step/gradient_sync.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "core/model/encoder.h"
#include "distributed/communicator/communicator.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/mpi.h"

namespace {

using polyhead::Communicator;
using polyhead::Encoder;
using polyhead::GradientSync;
using torch::Tensor;

constexpr int kTurns = 15;
constexpr std::int64_t kVocabulary = 8000, kSequences = 36, kWords = 40;

struct Trained {
  Trained(Communicator& group, bool shared) : encoder({}, {}, kVocabulary, 4) {
    const auto bytes = static_cast<std::size_t>(encoder.arena().layout()) * sizeof(float);
    memory = shared ? group.allocate("gradients", bytes) : polyhead::make_plain_buffer(bytes);
    encoder.arena().finish("encoder", 1, torch::kFloat32, memory->data());
  }
  std::unique_ptr<polyhead::SharedBuffer> memory;  // outlives the encoder
  Encoder encoder;
};

struct Contestant {
  const char* name;
  Trained* trained;
  std::unique_ptr<GradientSync> sync;
  std::vector<double> seconds = {};
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kTurns / 2, values.end());
  return values[kTurns / 2];
}

// The slowest worker's seconds.
double step(Contestant& contestant, Communicator& world, int turn) {
  Encoder& encoder = contestant.trained->encoder;
  std::vector<std::int64_t> offsets;
  for (std::int64_t i = 0; i <= kSequences; ++i) offsets.push_back(i * kWords);
  const auto segments = polyhead::Segments::from(offsets, torch::kCPU);
  const int seed = turn * world.size() + world.rank();
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  const std::vector<std::uint64_t> samples(kSequences, static_cast<std::uint64_t>(turn));
  const polyhead::DropoutKeys keys(segments, samples, 0, encoder.dropout_sites(), torch::kCPU);
  const Encoder::Input input{.tokens = torch::randint(kVocabulary, {kSequences * kWords}, torch::kInt64),
                             .vectors = {},
                             .pair_rows = {},
                             .second = {}};
  encoder.arena().gradients().zero_();
  world.barrier("step");
  const auto start = std::chrono::steady_clock::now();
  const Encoder::Output output = encoder.forward(input, segments, keys);
  const Tensor loss = output.states.square().mean() + output.weights.square().mean();
  contestant.sync->start();
  loss.backward();
  contestant.sync->finish();
  std::vector<double> seconds{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
  world.all_reduce("seconds", seconds, polyhead::Reduce::max);
  return seconds[0];
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  at::globalContext().setFlushDenormal(true);
  const auto world = polyhead::make_mpi_communicator(&argc, &argv);
  Trained shared(*world, true), plain(*world, false);
  std::vector<Contestant> contestants;
  const auto add = [&](const char* name, Trained& trained, bool during, std::size_t bytes) {
    contestants.push_back({name, &trained,
                           std::make_unique<GradientSync>(*world, "gradients", trained.encoder.arena(),
                                                          polyhead::GradientSyncOptions{during, bytes})});
  };
  constexpr std::size_t kSmall = std::size_t{2} << 20;
  add("shared, after backward", shared, false, polyhead::kBucketBytes);
  add("shared, during backward", shared, true, polyhead::kBucketBytes);
  add("shared, during, buckets of 2 MiB", shared, true, kSmall);
  add("plain, after backward", plain, false, polyhead::kBucketBytes);
  add("plain, during backward", plain, true, polyhead::kBucketBytes);
  add("plain, during, buckets of 2 MiB", plain, true, kSmall);
  for (int turn = 0; turn <= kTurns; ++turn)
    for (std::size_t i = 0; i < contestants.size(); ++i) {
      Contestant& contestant = contestants[(i + static_cast<std::size_t>(turn)) % contestants.size()];
      const double seconds = step(contestant, *world, turn);
      if (turn > 0) contestant.seconds.push_back(seconds);  // the first touches its memory
    }
  if (world->rank() != 0) return 0;
  std::printf("%d workers, %.1f MiB of gradients, %d words a worker, %d turns\n", world->size(),
              static_cast<double>(shared.encoder.arena().gradients().nbytes()) / (1 << 20),
              static_cast<int>(kSequences * kWords), kTurns);
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    const Contestant &one = contestants[i], &base = contestants[i / 3 * 3];
    std::vector<double> ratios;
    for (std::size_t turn = 0; turn < one.seconds.size(); ++turn)
      ratios.push_back(one.seconds[turn] / base.seconds[turn]);
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf("%-34s %2zu buckets  %7.1f ms  %.3f (%.3f to %.3f) of after\n", one.name, one.sync->buckets().size(),
                1e3 * median(one.seconds), median(ratios), *least, *most);
  }
}
