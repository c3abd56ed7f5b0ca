// abort_ranks RANK CODE: that rank ends all processes of the job with the code, while the others wait for it. RANK
// "local" for the world of one; RANK "throw" lets an exception unwind the group on all ranks but rank 0, and ends with
// CODE where it is caught.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "distributed/communicator/communicator.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/mpi.h"

int main(int argc, char** argv) {
  using namespace polyhead;
  if (argc != 3) return std::fputs("usage: abort_ranks RANK|local|throw CODE\n", stderr), 2;
  const int code = std::atoi(argv[2]);
  if (std::strcmp(argv[1], "local") == 0) {
    std::printf("unflushed, and still said");
    make_local_communicator()->abort(code);
  }
  if (std::strcmp(argv[1], "throw") == 0) {
    try {
      const auto world = make_mpi_communicator(&argc, &argv);
      if (world->rank() != 0) throw std::runtime_error("unwinds");
      world->barrier("never complete");
    } catch (const std::runtime_error&) {
      return code;  // must come here: finalising would wait for rank 0
    }
    return 0;
  }
  const auto world = make_mpi_communicator(&argc, &argv);
  const auto buffer = world->allocate("buffer", 100);
  if (world->rank() == std::atoi(argv[1])) {
    std::printf("unflushed, and still said");
    world->abort(code);
  }
  if (world->rank() % 2 == 0) world->barrier("never complete");
  world->all_reduce("never complete", buffer->data(), 25, DType::f32, Reduce::sum);
  return 0;
}
