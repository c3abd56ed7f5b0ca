// nccl_faults FAULT RANK: trains a few steps on the stand-in, with a fault on that rank, and ends as the program does
// after an exception: with the message on stderr, and all processes with the code of the error.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "distributed/communicator/communicator.h"
#include "distributed/communicator/mpi/mpi.h"
#include "distributed/communicator/nccl/nccl.h"
#include "tests/nccl_stand_in/stand_in.h"

namespace {

using namespace polyhead;

void train(Communicator& host, const std::string& fault_of_one, int rank) {
  const std::string fault = host.rank() == rank ? fault_of_one : "none";
  const double timeout = fault_of_one == "abort hangs" ? 10 : 2;  // the others must not end first
  auto& faults = stand_in::faults();
  if (fault == "version") faults.version = 20000;
  if (fault == "devices") faults.devices = 1;
  if (fault == "never connects") faults.never_connects = true;
  cudaStream_t compute = nullptr;
  cudaSetDevice(0);
  cudaStreamCreateWithPriority(&compute, cudaStreamNonBlocking, 0);
  stand_in::DeviceMemory memory(1000 * sizeof(float));
  const auto world = make_nccl_communicator(host, {host.rank(), compute, timeout, timeout});
  const auto first = world->split("group.first", host.rank() < 2 ? 0 : -1);
  for (int step = 1; step <= 20; ++step) {
    if (step == 7) {
      if (fault == "async" || fault == "abort hangs") faults.async = ncclSystemError;
      if (fault == "abort hangs") faults.abort_hangs = true;
      if (fault == "call") faults.call = ncclInternalError;
      if (fault == "throws") throw Error(Exit::data, "a sample of this worker is damaged");
      if (fault == "sleeps") std::this_thread::sleep_for(std::chrono::hours(1));
      if (fault == "dies") _exit(9);
    }
    world->all_reduce("encoder.gradients", memory.as<float>(), 1000, DType::f32, Reduce::sum);
    if (first) first->all_reduce("head.first", memory.as<float>(), 10, DType::f32, Reduce::sum);
    world->join();
    world->synchronize("gradients");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: nccl_faults FAULT RANK\n", stderr), 2;
  const auto host = make_mpi_communicator(&argc, &argv);
  try {
    train(*host, argv[1], std::atoi(argv[2]));
  } catch (const Error& error) {
    std::fprintf(stderr, "worker %d of %d: %s\n", host->rank(), host->size(), error.what());
    host->abort(static_cast<int>(error.code()));
  }
  const stand_in::Counts left = stand_in::counts();
  if (left.comms + left.events > 0 || left.streams > 1) return std::fputs("something is left over\n", stderr), 1;
  return 0;
}
