// GoogleTest for several ranks: a check that fails on one rank fails the test on all; rank 0 prints what GoogleTest
// prints, the others only their failures; all ranks end with the same code.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/mpi.h"
#include "tests/distributed/world.h"

namespace polyhead {
namespace {

Communicator* the_world = nullptr;

class AgreeOnFailure : public ::testing::EmptyTestEventListener {
 public:
  explicit AgreeOnFailure(Communicator& group) : group_(group) {}

  // Runs before the printer's own, which GoogleTest calls in reverse order at the end of a test.
  void OnTestEnd(const ::testing::TestInfo& test) override {
    std::vector<std::int64_t> failed(static_cast<std::size_t>(group_.size()));
    failed[static_cast<std::size_t>(group_.rank())] = test.result()->Failed();
    group_.all_reduce("failed", failed);
    if (test.result()->Failed()) return;
    for (std::size_t rank = 0; rank < failed.size(); ++rank)
      if (failed[rank] > 0) ADD_FAILURE() << "failed on rank " << rank;
  }

 private:
  Communicator& group_;
};

class PrintFailures : public ::testing::EmptyTestEventListener {
 public:
  explicit PrintFailures(int rank) : rank_(rank) {}

  void OnTestStart(const ::testing::TestInfo& test) override {
    name_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  void OnTestPartResult(const ::testing::TestPartResult& part) override {
    if (!part.failed()) return;
    std::fprintf(stderr, "[rank %d] %s\n%s:%d: Failure\n%s\n", rank_, name_.c_str(),
                 part.file_name() ? part.file_name() : "unknown file", part.line_number(), part.message());
  }

 private:
  int rank_;
  std::string name_;
};

}  // namespace

Communicator& world() {
  return *the_world;
}

}  // namespace polyhead

int main(int argc, char** argv) {
  using namespace polyhead;
  const auto world = mpi_available() ? make_mpi_communicator(&argc, &argv) : make_local_communicator();
  const auto agreement = world->split("agreement", 0);  // its own, whatever a failed test left in the world
  the_world = world.get();
  ::testing::InitGoogleTest(&argc, argv);
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  if (world->rank() != 0) {
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new PrintFailures(world->rank()));
  }
  listeners.Append(new AgreeOnFailure(*agreement));
  std::vector<std::int64_t> code{RUN_ALL_TESTS()};
  std::fflush(nullptr);  // mpirun ends all ranks as soon as one returns a code above 0
  agreement->all_reduce("code", code, Reduce::max);
  return static_cast<int>(code[0]);
}
