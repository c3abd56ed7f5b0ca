// The compiled part of allreduce.py: sums floats over workers in place, by the communicator in shared and in plain
// memory, and by MPI_Allreduce. Rank 0 reads lines "WHO BYTES CALLS" and answers each with the seconds of the slowest
// worker.
#include <mpi.h>
#include <time.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "distributed/communicator/communicator.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/mpi.h"

namespace {

using polyhead::Communicator;
using polyhead::DType;
using polyhead::Reduce;

constexpr std::size_t kBytes = std::size_t{256} << 20;
constexpr std::array kWho = {"shared", "plain", "mpi"};

struct Command {
  std::uint64_t who = kWho.size();  // kWho.size(): end
  std::uint64_t bytes = 0, calls = 0;
};

// The others sleep until rank 0 has a command: they must not take a core from who is measured meanwhile.
Command next_command(int rank) {
  Command command;
  if (rank == 0) {
    std::string who;
    if (std::cin >> who >> command.bytes >> command.calls)
      for (command.who = 0; command.who < kWho.size() && who != kWho[command.who];) ++command.who;
    if (command.bytes > kBytes) command.who = kWho.size();
  }
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibcast(&command, sizeof command, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
  for (int done = 0; !done;) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    const timespec nap{0, 200'000};
    if (!done) nanosleep(&nap, nullptr);
  }
  return command;
}

void all_reduce(Communicator& world, std::uint64_t who, float* data, std::size_t count) {
  if (who < 2)
    world.all_reduce("values", data, count, DType::f32, Reduce::sum);
  else
    MPI_Allreduce(MPI_IN_PLACE, data, static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

float value(int rank, std::size_t i) {
  return static_cast<float>(rank + 1) * static_cast<float>(i % 1000);
}

bool right(Communicator& world, std::uint64_t who, float* data, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) data[i] = value(world.rank(), i);
  all_reduce(world, who, data, count);
  float sum = 0;
  for (int rank = 0; rank < world.size(); ++rank) sum += value(rank, 1);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) wrong += data[i] != sum * static_cast<float>(i % 1000);
  std::memset(data, 0, count * sizeof(float));  // sums of zeros stay zero however often
  return wrong == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto world = polyhead::make_mpi_communicator(&argc, &argv);
  const auto shared = world->allocate("shared", kBytes), plain = polyhead::make_plain_buffer(kBytes);
  if (!shared->shared() && world->size() > 1) {
    std::fputs("the workers cannot share memory\n", stderr);
    world->abort(1);
  }
  for (;;) {
    const Command command = next_command(world->rank());
    if (command.who >= kWho.size()) return 0;
    float* const data = static_cast<float*>(command.who == 0 ? shared->data() : plain->data());
    const std::size_t count = command.bytes / sizeof(float);
    if (!right(*world, command.who, data, count)) {
      std::fprintf(stderr, "%s: wrong sums\n", kWho[command.who]);
      world->abort(1);
    }
    world->barrier("start");
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t call = 0; call < command.calls; ++call) all_reduce(*world, command.who, data, count);
    std::vector<double> seconds{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
    world->all_reduce("seconds", seconds, Reduce::max);
    if (world->rank() == 0) std::cout << seconds[0] << std::endl;
  }
}
