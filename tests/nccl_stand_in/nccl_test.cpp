// The nccl backend on the stand-in: its collectives against those of MPI, the order of streams and calls, groups, every
// failure, and that all resources are released.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "core/base/counter_random.h"
#include "distributed/communicator/nccl/bootstrap.h"
#include "distributed/communicator/nccl/check.h"
#include "distributed/communicator/nccl/nccl.h"
#include "tests/core/expect_error.h"
#include "tests/distributed/world.h"
#include "tests/nccl_stand_in/stand_in.h"

namespace polyhead {
namespace {

using stand_in::DeviceMemory;
using stand_in::faults;

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::i64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return DType::u64;
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  return DType::f64;
}

// Small whole numbers, so that sums are exact in every type.
template <class T>
T value_of(int rank, std::size_t i) {
  return static_cast<T>(draw(static_cast<std::uint64_t>(rank) + 11, i) % 20);
}

class Nccl : public ::testing::Test {
 protected:
  Nccl() {
    stand_in::reset();
    before_ = stand_in::counts();
    cudaSetDevice(world().rank());
    cudaStreamCreateWithPriority(&compute_, cudaStreamNonBlocking, 0);
  }
  ~Nccl() override {
    if (compute_) cudaStreamDestroy(compute_);
    stand_in::reset();
    world().barrier("test.end");  // messages of one test end with it
  }

  std::unique_ptr<Communicator> make(double init_timeout = 30, double timeout = 30) {
    return make_nccl_communicator(world(), {world().rank(), compute_, init_timeout, timeout});
  }
  // What there is beyond the test's own stream.
  stand_in::Counts counts() const {
    stand_in::Counts now = stand_in::counts();
    now.comms -= before_.comms;
    now.streams -= before_.streams + 1;
    now.events -= before_.events;
    return now;
  }
  void expect_clean(int destroyed) const {
    EXPECT_EQ(counts().comms, 0);
    EXPECT_EQ(counts().streams, 0);
    EXPECT_EQ(counts().events, 0);
    EXPECT_EQ(counts().destroyed, destroyed);
    EXPECT_EQ(counts().aborted, 0);
    EXPECT_EQ(counts().undone, 0);
  }
  // Fills device memory by a kernel, which has not run when the collective is called.
  template <class T>
  void fill(T* data, std::size_t count, std::size_t first = 0) {
    stand_in::launch(compute_, [=] {
      for (std::size_t i = 0; i < count; ++i) data[i] = value_of<T>(world().rank(), first + i);
    });
  }
  // All that the caller's stream holds or waits for.
  void finish() const { ASSERT_TRUE(stand_in::run(compute_)); }

  cudaStream_t compute_ = nullptr;
  bool several_ = world().size() > 1;

 private:
  stand_in::Counts before_;
};

template <class T>
class NcclTypes : public Nccl {};
using Types = ::testing::Types<std::uint8_t, std::int32_t, std::int64_t, std::uint64_t, float, double>;
TYPED_TEST_SUITE(NcclTypes, Types);

template <class T>
std::vector<T> values(std::size_t count, std::size_t first = 0) {
  std::vector<T> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = value_of<T>(world().rank(), first + i);
  return result;
}

template <class T>
void expect_equal(const T* data, const std::vector<T>& right) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < right.size(); ++i) wrong += data[i] != right[i];
  EXPECT_EQ(wrong, 0u) << "of " << right.size();
}

TYPED_TEST(NcclTypes, CollectivesGiveWhatThoseOfMpiGive) {
  using T = TypeParam;
  constexpr DType type = dtype_of<T>();
  const auto group = this->make();
  const auto members = static_cast<std::size_t>(group->size());
  for (const std::size_t count : {0, 1, 7, 3000}) {
    DeviceMemory one(count * sizeof(T)), all(count * members * sizeof(T)), other(count * members * sizeof(T));
    for (const Reduce reduce : {Reduce::sum, Reduce::max, Reduce::min}) {
      if (std::is_floating_point_v<T> && reduce != Reduce::sum) continue;
      std::vector<T> right = values<T>(count);
      world().all_reduce("right", right.data(), count, type, reduce);
      this->fill(one.as<T>(), count);
      group->all_reduce("values", one.as<T>(), count, type, reduce);
      group->join();
      this->finish();
      expect_equal(one.as<T>(), right);

      const std::vector<T> input = values<T>(count * members);
      right.assign(count, T{});
      world().reduce_scatter("right", input.data(), right.data(), count, type, reduce);
      this->fill(all.as<T>(), count * members);
      group->reduce_scatter("values", all.as<T>(), one.as<T>(), count, type, reduce);
      group->join();
      this->finish();
      expect_equal(one.as<T>(), right);
    }
    for (int root = 0; root < group->size(); ++root) {
      std::vector<T> right = values<T>(count);
      world().broadcast("right", right.data(), count, type, root);
      this->fill(one.as<T>(), count);
      group->broadcast("values", one.as<T>(), count, type, root);
      group->join();
      this->finish();
      expect_equal(one.as<T>(), right);
    }
    const std::vector<T> input = values<T>(count);
    std::vector<T> right(count * members);
    world().all_gather("right", input.data(), right.data(), count, type);
    this->fill(one.as<T>(), count);
    group->all_gather("values", one.as<T>(), all.as<T>(), count, type);
    group->join();
    this->finish();
    expect_equal(all.as<T>(), right);
  }
}

TYPED_TEST(NcclTypes, AllToAllWithUnequalCounts) {
  using T = TypeParam;
  const auto group = this->make();
  const int rank = group->rank(), members = group->size();
  const auto count = [](int from, int to) { return static_cast<std::size_t>((from * 5 + to * 3) % 4 * 100); };
  std::size_t sent = 0, received = 0;
  for (int peer = 0; peer < members; ++peer) sent += count(rank, peer), received += count(peer, rank);
  DeviceMemory from(sent * sizeof(T)), to(received * sizeof(T));
  std::vector<T> input = values<T>(sent), right(received);
  const auto ranges = [&](T* send, T* receive) {
    std::vector<Range> out, in;
    for (int peer = 0; peer < members; ++peer) {
      out.push_back({send, count(rank, peer)});
      in.push_back({receive, count(peer, rank)});
      send += count(rank, peer), receive += count(peer, rank);
    }
    return std::pair(out, in);
  };
  const auto [host_out, host_in] = ranges(input.data(), right.data());
  group->all_to_all("host", host_out, host_in, dtype_of<T>());
  std::size_t at = 0;
  for (int peer = 0; peer < members; ++peer) {  // MPI's, against what was to come
    std::size_t first = 0;
    for (int before = 0; before < rank; ++before) first += count(peer, before);
    for (std::size_t i = 0; i < count(peer, rank); ++i) ASSERT_EQ(right[at++], value_of<T>(peer, first + i));
  }
  this->fill(from.as<T>(), sent);
  const auto [out, in] = ranges(from.as<T>(), to.as<T>());
  group->all_to_all("device", out, in, dtype_of<T>());
  group->join();
  this->finish();
  expect_equal(to.as<T>(), right);
}

TEST_F(Nccl, MakesAndLeavesNothingBehind) {
  auto group = make();
  EXPECT_EQ(group->rank(), world().rank());
  EXPECT_EQ(group->size(), world().size());
  EXPECT_EQ(counts().comms, several_ ? 1 : 0);
  EXPECT_EQ(counts().streams, 1);
  group->barrier("together");
  group.reset();
  expect_clean(several_ ? 1 : 0);
}

TEST_F(Nccl, StepsNeedNoHostToWait) {
  auto group = make();
  DeviceMemory memory(100 * sizeof(double));
  double* const data = memory.as<double>();
  fill(data, 100);
  for (int step = 0; step < 20; ++step) {
    stand_in::launch(compute_, [=] {
      for (int i = 0; i < 100; ++i) data[i] += 1;
    });
    group->all_reduce("gradient", data, 100, DType::f64, Reduce::sum);
    group->join();
    stand_in::launch(compute_, [=] {
      for (int i = 0; i < 100; ++i) data[i] /= 2;
    });
  }
  finish();
  double right = 0;
  for (int rank = 0; rank < group->size(); ++rank) right += value_of<double>(rank, 5);
  right = (right + group->size()) / 2;
  for (int step = 1; step < 20; ++step) right = (right + 1) * group->size() / 2;
  EXPECT_DOUBLE_EQ(data[5], right);
  group.reset();
  expect_clean(several_ ? 1 : 0);
}

// What the tests above rest on: the stand-in runs nothing that no event asks for.
TEST_F(Nccl, WithoutJoinTheCallersStreamDoesNotWait) {
  const auto group = make();
  DeviceMemory memory(sizeof(float));
  float* const data = memory.as<float>();
  stand_in::launch(compute_, [=] { *data = 1; });
  group->all_reduce("gradient", data, 1, DType::f32, Reduce::sum);
  finish();
  EXPECT_EQ(*data, 1);
  group->synchronize("gradient");
  EXPECT_EQ(*data, static_cast<float>(group->size()));
}

TEST_F(Nccl, SeveralBuffersInOneCall) {
  const auto group = make();
  DeviceMemory memory(3000 * sizeof(float));
  float* const data = memory.as<float>();
  fill(data, 3000);
  const std::vector<Range> ranges{{data + 10, 100}, {data + 500, 0}, {data + 2000, 1000}};
  std::vector<float> right = values<float>(3000);
  std::vector<Range> on_host;
  for (const Range& range : ranges)
    on_host.push_back({right.data() + (static_cast<float*>(range.data) - data), range.count});
  world().all_reduce("right", on_host, DType::f32, Reduce::sum);
  group->all_reduce("buckets", ranges, DType::f32, Reduce::sum);
  group->join();
  finish();
  expect_equal(data, right);
  EXPECT_EQ(group->record().back().name, "all_reduce buckets");
  EXPECT_EQ(group->record().back().bytes, 1100 * sizeof(float));
}

TEST_F(Nccl, PartsHaveTheirOwnCommunicator) {
  auto group = make();
  const int rank = group->rank(), members = group->size();
  DeviceMemory memory(50 * sizeof(std::int64_t));
  auto* const data = memory.as<std::int64_t>();
  // Overlapping parts, as tasks have them: neighbours, in the same order on all.
  std::vector<std::unique_ptr<Communicator>> parts;
  int mine = 0;
  for (int first = 0; first < members; ++first) {
    const int second = (first + 1) % members;
    const bool member = rank == first || rank == second;
    parts.push_back(group->split("pair", member ? 0 : -1));
    EXPECT_EQ(parts.back() != nullptr, member);
    mine += member && members > 1;
  }
  EXPECT_EQ(counts().comms, mine + (several_ ? 1 : 0));
  for (int step = 0; step < 3; ++step) {
    for (int first = 0; first < members; ++first) {
      Communicator* const part = parts[static_cast<std::size_t>(first)].get();
      if (!part) continue;
      fill(data, 50);
      part->all_reduce("head", data, 50, DType::i64, Reduce::sum);
      part->join();
      finish();
      const int second = (first + 1) % members;
      const std::int64_t right =
          value_of<std::int64_t>(first, 7) + (second == first ? 0 : value_of<std::int64_t>(second, 7));
      EXPECT_EQ(data[7], right);
    }
  }
  parts.clear();
  group.reset();
  expect_clean(mine + (several_ ? 1 : 0));
}

TEST_F(Nccl, CallsAreTheSameOnAllMembers) {
  const auto group = make();
  const auto everybody = group->split("everybody", 0);
  DeviceMemory memory(100 * sizeof(float));
  for (std::size_t step = 1; step < 6; ++step) {
    group->all_reduce("encoder", memory.as<float>(), 20 * step, DType::f32, Reduce::sum);
    everybody->broadcast("head", memory.as<float>(), step, DType::f32, 0);
  }
  group->synchronize("end");
  std::string mine;
  for (const std::string& call : stand_in::calls()) mine += call + "\n";
  EXPECT_EQ(mine.empty(), !several_);
  for (const std::string& theirs : world().all_gather_strings("calls", mine)) EXPECT_EQ(theirs, mine);
}

TEST_F(Nccl, HostMemoryGoesToTheBackendBeneath) {
  const auto group = make();
  std::vector<double> values{1, 2};
  group->all_reduce("losses", values);
  EXPECT_EQ(values[1], 2.0 * group->size());
  EXPECT_EQ(group->all_gather_strings("names", "a").size(), static_cast<std::size_t>(group->size()));
  const auto buffer = group->allocate("buffer", 4);
  EXPECT_EQ(buffer->shared(), several_);
  auto* const number = static_cast<std::int32_t*>(buffer->data());
  *number = 3;
  group->all_reduce("buffer", number, 1, DType::i32, Reduce::max);
  EXPECT_EQ(*number, 3);
  EXPECT_TRUE(stand_in::calls().empty());
  DeviceMemory memory(64);
  std::vector<float> host(16);
  expect_error([&] { group->all_gather("mixed", host.data(), memory.as<float>(), 1, DType::f32); }, Exit::internal,
               {"all_gather \"mixed\"", "host memory and device memory"});
}

TEST_F(Nccl, MaximaOfRealNumbersAreRefused) {
  const auto group = make();
  DeviceMemory memory(8);
  for (const Reduce reduce : {Reduce::max, Reduce::min}) {
    expect_error([&] { group->all_reduce("norm", memory.as<float>(), 1, DType::f32, reduce); }, Exit::internal,
                 {"all_reduce \"norm\"", "NaN"});
    expect_error([&] { group->reduce_scatter("norm", memory.as<float>(), memory.as<float>(), 1, DType::f32, reduce); },
                 Exit::internal, {"NaN"});
  }
  group->all_reduce("still", memory.as<float>(), 1, DType::f32, Reduce::sum);  // nothing is broken
  group->synchronize("still");
}

TEST_F(Nccl, ALateMemberIsWaitedFor) {
  const auto group = make();
  DeviceMemory memory(sizeof(float));
  fill(memory.as<float>(), 1);
  if (group->rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  group->all_reduce("gradient", memory.as<float>(), 1, DType::f32, Reduce::sum);
  group->synchronize("gradient");
  float right = 0;
  for (int rank = 0; rank < group->size(); ++rank) right += value_of<float>(rank, 0);
  EXPECT_EQ(*memory.as<float>(), right);
}

TEST_F(Nccl, AMemberThatIsTooLateIsAHang) {
  auto group = make(0.5, 0.3);
  DeviceMemory memory(sizeof(float));
  const auto call = [&] { group->all_reduce("gradient", memory.as<float>(), 1, DType::f32, Reduce::sum); };
  if (!several_) return call();
  if (group->rank() == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    return;  // and nobody to finalise with: given up within the deadline
  }
  call();
  expect_error([&] { group->synchronize("gradients"); }, Exit::hang,
               {"synchronize \"gradients\" (call 2 of its group, rank ", "not ended after 0.3 s", "late"});
  EXPECT_EQ(counts().aborted, 1);
  expect_error(call, Exit::internal, {"all_reduce \"gradient\"", "aborted after an earlier error"});
  group.reset();
  EXPECT_EQ(counts().comms, 0);
}

TEST_F(Nccl, DifferentCallsAreReportedInNcclsWords) {
  const auto group = make(0.5, 5);
  if (!several_) return;
  DeviceMemory memory(100 * sizeof(float));
  const std::size_t count = group->rank() == 0 ? 50 : 51;
  expect_error(
      [&] {
        group->all_reduce("gradient", memory.as<float>(), count, DType::f32, Reduce::sum);
        group->synchronize("gradient");
      },
      Exit::internal,
      {"NCCL reports \"invalid usage\"", "calls all_reduce of 5", "different collectives", "nccl_comm.cpp:"});
}

TEST_F(Nccl, AnErrorThatIsFoundLaterEndsAll) {
  auto group = make(0.5, 0.5);
  auto part = group->split("part", 0);
  if (!several_) return;
  const bool at_fault = group->rank() == 1;
  if (at_fault) faults().async = ncclRemoteError, faults().async_after = 2;
  DeviceMemory memory(sizeof(float));
  const auto step = [&] {
    group->all_reduce("encoder", memory.as<float>(), 1, DType::f32, Reduce::sum);
    part->all_reduce("head", memory.as<float>(), 1, DType::f32, Reduce::sum);
    group->synchronize("step");
  };
  step();
  if (at_fault)
    expect_error(step, Exit::internal,
                 {"synchronize \"step\"", "remote process exited", "the stand-in was told to", "its own message"});
  else
    expect_error(step, Exit::hang, {"synchronize \"step\"", "not ended after 0.5 s"});
  EXPECT_EQ(counts().aborted, 2);  // both communicators
  part.reset();
  group.reset();
  EXPECT_EQ(counts().comms, 0);
  EXPECT_EQ(counts().streams, 0);
  EXPECT_EQ(counts().events, 0);
}

TEST_F(Nccl, AnErrorOfACallEndsAll) {
  auto group = make(0.5, 0.5);
  if (!several_) return;
  DeviceMemory memory(sizeof(float));
  faults().call = ncclSystemError;
  expect_error([&] { group->broadcast("weights", memory.as<float>(), 1, DType::f32, 0); }, Exit::internal,
               {"broadcast \"weights\"", "unhandled system error", "NCCL_SOCKET_IFNAME", "ncclBroadcast("});
  EXPECT_EQ(counts().aborted, 1);
  group.reset();
  group = nullptr;
  faults() = {};
  group = make(0.5, 0.5);
  faults().call = ncclUnhandledCudaError;  // within a group of calls
  expect_error([&] { group->all_reduce("gradient", memory.as<float>(), 1, DType::f32, Reduce::sum); }, Exit::internal,
               {"unhandled cuda error", "Xid"});
}

TEST_F(Nccl, AKernelThatFailedIsCudasError) {
  const auto group = make(0.5, 0.5);
  faults().query = cudaErrorIllegalAddress;
  expect_error(
      [&] { group->synchronize("step"); }, Exit::internal,
      {"synchronize \"step\"", "CUDA reports \"an illegal memory access was encountered\"", "device_queue.cpp:"});
}

TEST_F(Nccl, AMemberThatNeverConnectsIsAHang) {
  if (!several_) return;
  if (world().rank() == world().size() - 1) faults().never_connects = true;
  expect_error([&] { make(0.3); }, Exit::hang,
               {"still connecting after 0.3 s (rank ", "NCCL_DEBUG=INFO", "NCCL_SOCKET_IFNAME"});
  EXPECT_EQ(counts().comms, 0);
  EXPECT_EQ(counts().aborted, 1);
  EXPECT_EQ(counts().streams, 0);
}

TEST_F(Nccl, AnotherVersionIsRefusedByAll) {
  const bool last = world().rank() == world().size() - 1;
  if (last) faults().version = 21805;
  expect_error([&] { make(); }, Exit::config, {"built with NCCL ", "but NCCL 2.18.5 was loaded", "LD_LIBRARY_PATH"});
  faults().version = NCCL_VERSION_CODE + (last ? 100 : 0);  // newer is good, but not on one alone
  if (!several_) return make()->barrier("newer");
  expect_error([&] { make(); }, Exit::config,
               {"worker 0 has loaded NCCL ", "LD_LIBRARY_PATH", nccl_version_words(NCCL_VERSION_CODE + 100)});
}

TEST_F(Nccl, TwoLibrariesAreRefused) {
  check_one_library({"/torch/nvidia/nccl/lib/libnccl.so.2"});
  expect_error(
      [] {
        check_one_library({"/a/libnccl.so.2", "/b/libnccl.so.2.18"});
      },
      Exit::config, {"2 NCCL libraries", "/a/libnccl.so.2, /b/libnccl.so.2.18", "LD_PRELOAD"});
  EXPECT_EQ(loaded_libraries("libmpi.so").size(), 1u);
  EXPECT_TRUE(loaded_libraries("libnccl.so").empty());  // the stand-in is no library
}

TEST_F(Nccl, TooFewDevicesAreRefusedByAll) {
  const int last = world().size() - 1;
  const auto start = std::chrono::steady_clock::now();
  if (world().rank() == last) faults().devices = last;
  expect_error([&] { make(); }, Exit::config,
               {"worker " + std::to_string(last) + ": its CUDA device would be number " + std::to_string(last),
                "has " + std::to_string(last), "CUDA_VISIBLE_DEVICES"});
  if (world().rank() == last) faults().devices = -1;
  expect_error([&] { make(); }, Exit::config, {"no CUDA-capable device", "nvidia-smi shows"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST_F(Nccl, ASharedDeviceIsRefusedByAll) {
  faults().bus = "0000:3b:00.0";  // each process sees one device alone, and they are the same
  if (!several_) return make()->barrier("alone");
  expect_error([&] { make(); }, Exit::config, {"workers 0 and 1 share the CUDA device 0000:3b:00.0 of "});
}

TEST_F(Nccl, AnIdThatCannotBeMadeIsReportedByAll) {
  if (!several_) return;
  if (world().rank() == 0) faults().unique_id = ncclSystemError;
  expect_error([&] { make(); }, Exit::config, {"worker 0: NCCL reports \"unhandled system error\""});
}

TEST_F(Nccl, ABadFarewellChangesNothing) {
  auto group = make(0.5, 0.5);
  faults().finalize = ncclInternalError;
  group.reset();
  EXPECT_EQ(counts().comms, 0);
  EXPECT_EQ(counts().aborted, several_ ? 1 : 0);
}

TEST_F(Nccl, AnExceptionThatUnwindsTheGroupDoesNotWait) {
  const auto start = std::chrono::steady_clock::now();
  try {
    const auto group = make();
    const DeviceMemory memory(8);
    throw std::runtime_error("of this rank alone");
  } catch (const std::runtime_error&) {
    EXPECT_EQ(counts().comms, several_ ? 1 : 0);  // left to the end of the process
    EXPECT_EQ(counts().aborted, 0);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace polyhead
