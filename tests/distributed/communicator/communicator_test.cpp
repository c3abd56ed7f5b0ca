// The collectives of every backend: values, bits, splits, records, shared buffers, and calls that differ between
// members.
#include "distributed/communicator/communicator.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/mpi.h"
#include "tests/distributed/world.h"
#include "tests/launch/helpers.h"

namespace polyhead {
namespace {

// More than one call of the backend takes.
constexpr std::size_t kBig = (std::size_t{1} << 24) + 5;

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
  return static_cast<T>(draw(static_cast<std::uint64_t>(rank) + 7, i) % 50);
}

template <class T>
T expected(std::size_t i, Reduce reduce, int members) {
  T result = value_of<T>(0, i);
  for (int rank = 1; rank < members; ++rank) {
    const T value = value_of<T>(rank, i);
    result = reduce == Reduce::sum   ? static_cast<T>(result + value)
             : reduce == Reduce::max ? std::max(result, value)
                                     : std::min(result, value);
  }
  return result;
}

// The same bytes on every member?
bool same_on_all(Communicator& group, const void* data, std::size_t bytes) {
  const std::string mine(static_cast<const char*>(data), bytes);
  for (const std::string& theirs : group.all_gather_strings("bits", mine))
    if (theirs != mine) return false;
  return true;
}

template <class T>
class EveryType : public ::testing::Test {};
using Types = ::testing::Types<std::uint8_t, std::int32_t, std::int64_t, std::uint64_t, float, double>;
TYPED_TEST_SUITE(EveryType, Types);

TYPED_TEST(EveryType, AllReduce) {
  using T = TypeParam;
  EXPECT_EQ(size_of(dtype_of<T>()), sizeof(T));
  const auto buffer = world().allocate("buffer", 70'000 * sizeof(T));
  for (const Reduce reduce : {Reduce::sum, Reduce::max, Reduce::min}) {
    for (const std::size_t count : {0, 1, 3, 100, 70'000}) {
      std::vector<T> plain(count + 1);
      T* const shared = static_cast<T*>(buffer->data());
      plain[count] = 99;  // must stay
      for (std::size_t i = 0; i < count; ++i) plain[i] = shared[i] = value_of<T>(world().rank(), i);
      world().all_reduce("plain", plain.data(), count, dtype_of<T>(), reduce);
      world().all_reduce("shared", shared, count, dtype_of<T>(), reduce);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const T right = expected<T>(i, reduce, world().size());
        wrong += plain[i] != right || shared[i] != right;
      }
      EXPECT_EQ(wrong, 0u) << count << " elements";
      EXPECT_EQ(plain[count], T{99});
    }
  }
}

TYPED_TEST(EveryType, ReduceScatter) {
  using T = TypeParam;
  const auto members = static_cast<std::size_t>(world().size()), rank = static_cast<std::size_t>(world().rank());
  for (const Reduce reduce : {Reduce::sum, Reduce::max, Reduce::min}) {
    for (const std::size_t count : {std::size_t{0}, std::size_t{5}, (std::size_t{1} << 18) + 3}) {
      std::vector<T> all(count * members), mine(count + 1, T{99});
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = value_of<T>(world().rank(), i);
      world().reduce_scatter("values", all.data(), mine.data(), count, dtype_of<T>(), reduce);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < count; ++i) wrong += mine[i] != expected<T>(rank * count + i, reduce, world().size());
      EXPECT_EQ(wrong, 0u) << count << " elements";
      EXPECT_EQ(mine[count], T{99});
    }
  }
}

TYPED_TEST(EveryType, AllToAllOfUnequalCounts) {
  using T = TypeParam;
  const int rank = world().rank(), members = world().size();
  const auto count = [](int from, int to) { return static_cast<std::size_t>((from + 2 * to) % 3 * 50); };
  std::vector<std::vector<T>> out(static_cast<std::size_t>(members)), in(out);
  std::vector<Range> send, receive;
  for (int peer = 0; peer < members; ++peer) {
    const auto p = static_cast<std::size_t>(peer);
    for (std::size_t i = 0; i < count(rank, peer); ++i) out[p].push_back(value_of<T>(rank, 1000 * p + i));
    in[p].resize(count(peer, rank));
    send.push_back({out[p].data(), out[p].size()});
    receive.push_back({in[p].data(), in[p].size()});
  }
  world().all_to_all("values", send, receive, dtype_of<T>());
  for (int peer = 0; peer < members; ++peer)
    for (std::size_t i = 0; i < count(peer, rank); ++i)
      ASSERT_EQ(in[static_cast<std::size_t>(peer)][i], value_of<T>(peer, 1000 * static_cast<std::size_t>(rank) + i));
}

TYPED_TEST(EveryType, BroadcastFromEachRoot) {
  using T = TypeParam;
  for (int root = 0; root < world().size(); ++root) {
    for (const std::size_t count : {0, 1, 1000}) {
      std::vector<T> values(count);
      for (std::size_t i = 0; i < count; ++i) values[i] = value_of<T>(world().rank(), i);
      world().broadcast("values", values.data(), count, dtype_of<T>(), root);
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(values[i], value_of<T>(root, i));
    }
  }
}

TYPED_TEST(EveryType, AllGatherIsOrderedByRank) {
  using T = TypeParam;
  for (const std::size_t count : {0, 1, 1000}) {
    std::vector<T> mine(count), all(count * static_cast<std::size_t>(world().size()));
    for (std::size_t i = 0; i < count; ++i) mine[i] = value_of<T>(world().rank(), i);
    world().all_gather("values", mine.data(), all.data(), count, dtype_of<T>());
    for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], value_of<T>(static_cast<int>(i / count), i % count));
    std::vector<T> in_place(all.size());
    std::copy(mine.begin(), mine.end(), in_place.begin() + static_cast<std::ptrdiff_t>(count) * world().rank());
    world().all_gather("values", in_place.data() + count * static_cast<std::size_t>(world().rank()), in_place.data(),
                       count, dtype_of<T>());
    ASSERT_EQ(in_place, all);
  }
}

TEST(Communicator, SumsOfIntegersWrap) {
  const std::uint64_t big = 0xffff'ffff'ffff'fff0;
  const auto members = static_cast<std::uint64_t>(world().size());
  std::vector<std::uint64_t> hashes{big};
  world().all_reduce("hashes", hashes);
  EXPECT_EQ(hashes[0], members * big);
  std::vector<std::int64_t> numbers{std::numeric_limits<std::int64_t>::max()};
  world().all_reduce("numbers", numbers);
  EXPECT_EQ(numbers[0],
            static_cast<std::int64_t>(members * static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
  std::int32_t number = std::numeric_limits<std::int32_t>::max();
  world().all_reduce("number", &number, 1, DType::i32, Reduce::sum);
  EXPECT_EQ(number, static_cast<std::int32_t>(static_cast<std::uint32_t>(members) * 0x7fff'ffffu));
}

TEST(Communicator, SumsOfFloatsHaveTheSameBitsOnAll) {
  // From a few bytes to several megabytes: Open MPI changes its algorithm with the size.
  for (const std::size_t count : {1, 7, 1000, 3'000, 100'003, 700'001}) {
    const auto buffer = world().allocate("buffer", count * sizeof(float));
    std::vector<float> plain(count);
    float* const shared = static_cast<float*>(buffer->data());
    double error = 0, right = 0;
    for (std::size_t i = 0; i < count; ++i)
      plain[i] = shared[i] = static_cast<float>(unit(draw(static_cast<std::uint64_t>(world().rank()), i)) - 0.3);
    world().all_reduce("plain", plain.data(), count, DType::f32, Reduce::sum);
    world().all_reduce("shared", shared, count, DType::f32, Reduce::sum);
    EXPECT_TRUE(same_on_all(world(), plain.data(), count * sizeof(float))) << count;
    EXPECT_TRUE(same_on_all(world(), shared, count * sizeof(float))) << count;
    for (std::size_t i = 0; i < count; ++i) {
      double sum = 0;
      for (int rank = 0; rank < world().size(); ++rank)
        sum += static_cast<float>(unit(draw(static_cast<std::uint64_t>(rank), i)) - 0.3);
      right = std::max(right, std::abs(sum));
      error = std::max({error, std::abs(sum - plain[i]), std::abs(sum - shared[i])});
    }
    EXPECT_LE(error, 1e-6 * std::max(right, 1.0)) << count;
  }
}

TEST(Communicator, NaNOfOneMemberReachesAll) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (int where = 0; where < world().size(); ++where) {
    for (const Reduce reduce : {Reduce::sum, Reduce::max, Reduce::min}) {
      std::vector<double> values{world().rank() == where ? nan : 1.0, 2.0};
      world().all_reduce("losses", values, reduce);
      EXPECT_TRUE(std::isnan(values[0]));
      EXPECT_EQ(values[1], reduce == Reduce::sum ? 2.0 * world().size() : 2.0);
    }
  }
}

TEST(Communicator, CountsBeyondOneCall) {
  std::vector<std::uint8_t> values(kBig);
  const auto fill = [&](int rank) {
    for (std::size_t i = 0; i < kBig; ++i)
      values[i] = static_cast<std::uint8_t>(i * 31 + static_cast<std::size_t>(rank));
  };
  const auto members = static_cast<std::size_t>(world().size());
  fill(world().rank());
  std::vector<std::uint8_t> all(kBig * members);
  world().all_gather("big", values.data(), all.data(), kBig, DType::u8);
  world().all_reduce("big", values.data(), kBig, DType::u8, Reduce::sum);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < kBig; ++i) {
    std::uint8_t sum = 0;
    for (std::size_t rank = 0; rank < members; ++rank) {
      const auto right = static_cast<std::uint8_t>(i * 31 + rank);
      sum = static_cast<std::uint8_t>(sum + right);
      wrong += all[rank * kBig + i] != right;
    }
    wrong += values[i] != sum;
  }
  EXPECT_EQ(wrong, 0u);
  fill(world().rank());
  const int last = world().size() - 1;
  world().broadcast("big", values.data(), kBig, DType::u8, last);
  const std::vector<std::uint8_t> received = values;
  fill(last);
  EXPECT_TRUE(received == values);
}

TEST(Communicator, StringsOfDifferentLengths) {
  const auto text = [](int rank) {
    return std::string(static_cast<std::size_t>(rank) * 3, static_cast<char>('a' + rank)) + std::string(1, '\0') + "é";
  };
  const auto all = world().all_gather_strings("names", text(world().rank()));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(world().size()));
  for (int rank = 0; rank < world().size(); ++rank) EXPECT_EQ(all[static_cast<std::size_t>(rank)], text(rank));
  for (const std::string& nothing : world().all_gather_strings("empty", "")) EXPECT_EQ(nothing, "");
}

TEST(Communicator, SplitsIntoUnevenGroups) {
  // Rank 0 alone, all others together.
  const bool first = world().rank() == 0;
  const auto group = world().split("uneven", first ? 5 : 2);
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(group->size(), first ? 1 : world().size() - 1);
  EXPECT_EQ(group->rank(), first ? 0 : world().rank() - 1);
  std::vector<std::int64_t> ranks{world().rank()};
  group->all_reduce("ranks", ranks);
  EXPECT_EQ(ranks[0], first ? 0 : world().size() * (world().size() - 1) / 2);
  std::vector<std::int64_t> roots{world().rank()};
  group->broadcast("root", roots.data(), 1, DType::i64, 0);
  EXPECT_EQ(roots[0], first ? 0 : 1);
  // A group of a group, and memory of a group.
  const auto half = group->split("half", group->rank() % 2);
  const auto buffer = half->allocate("buffer", sizeof(std::int64_t));
  auto* const value = static_cast<std::int64_t*>(buffer->data());
  *value = 1;
  half->all_reduce("members", value, 1, DType::i64, Reduce::sum);
  EXPECT_EQ(*value, half->size());
}

TEST(Communicator, NoGroupForNegativeColors) {
  const auto group = world().split("only the last", world().rank() == world().size() - 1 ? 0 : -1);
  EXPECT_EQ(group != nullptr, world().rank() == world().size() - 1);
  if (group) {
    EXPECT_EQ(group->size(), 1);
  }
  EXPECT_EQ(world().split("nobody", -1), nullptr);
}

TEST(Communicator, RecordsNumbersNamesAndTimes) {
  const auto group = world().split("recorded", 0);
  EXPECT_TRUE(group->record().empty());
  std::vector<double> values{1, 2, 3};
  group->all_reduce("loss", values);
  group->barrier("end of step");
  group->broadcast("nothing", nullptr, 0, DType::f32, 0);
  const auto record = group->record();
  ASSERT_EQ(record.size(), 3u);
  EXPECT_EQ(record[0].name, "all_reduce loss");
  EXPECT_EQ(record[0].bytes, 24u);
  EXPECT_EQ(record[1].name, "barrier end of step");
  EXPECT_EQ(record[2].name, "broadcast nothing");
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(record[i].number, i + 1);
    EXPECT_GT(record[i].entered, 0);
    EXPECT_GE(record[i].left, record[i].entered);
  }
  for (int i = 0; i < 300; ++i) group->barrier("many");
  EXPECT_EQ(group->record().size(), 256u);
  EXPECT_EQ(group->record().back().number, 303u);
}

TEST(Communicator, RootOutsideOfTheGroup) {
  int value = 0;
  const std::string message =
      testing::error_of(Exit::internal, [&] { world().broadcast("weights", &value, 1, DType::i32, world().size()); });
  EXPECT_NE(message.find("broadcast \"weights\""), std::string::npos) << message;
  EXPECT_NE(message.find("root"), std::string::npos) << message;
  EXPECT_EQ(world().record().back().left, 0);  // never left
}

TEST(Communicator, DifferentCountsAreReportedInMpisWords) {
  if (world().size() < 2) return;  // members that agree with themselves: ranks 2 to 4 of the test program run it
  const auto pair = world().split("pair", world().rank() < 2 ? 0 : -1);
  if (!pair) return;
  std::vector<std::int32_t> values(4);
  if (pair->rank() == 0) {
    pair->broadcast("labels", values.data(), 4, DType::i32, 0);
    return;
  }
  const std::string message =
      testing::error_of(Exit::internal, [&] { pair->broadcast("labels", values.data(), 2, DType::i32, 0); });
  for (const char* part : {"broadcast \"labels\"", "rank 1 of 2", "MPI_ERR_TRUNCATE", "different counts", "mpi.cpp:"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(Communicator, SeveralRangesInOneCall) {
  std::vector<double> values{1, 2, 3, 4, 5};
  const std::vector<Range> ranges{{values.data(), 1}, {values.data() + 1, 0}, {values.data() + 3, 2}};
  world().all_reduce("ranges", ranges, DType::f64, Reduce::sum);
  const double n = world().size();
  EXPECT_EQ(values, (std::vector<double>{n, 2, 3, 4 * n, 5 * n}));
  EXPECT_EQ(world().record().back().bytes, 3 * sizeof(double));
}

TEST(Communicator, AllToAllNeedsARangeForEachMember) {
  std::vector<double> values(4);
  const std::vector<Range> too_many(static_cast<std::size_t>(world().size()) + 1);
  EXPECT_NE(testing::error_of(Exit::internal, [&] { world().all_to_all("slices", too_many, too_many, DType::f64); })
                .find("but the group has"),
            std::string::npos);
  std::vector<Range> send(static_cast<std::size_t>(world().size())), receive(send);
  send[static_cast<std::size_t>(world().rank())] = {values.data(), 2};
  receive[static_cast<std::size_t>(world().rank())] = {values.data(), 1};
  EXPECT_NE(testing::error_of(Exit::internal, [&] { world().all_to_all("slices", send, receive, DType::f64); })
                .find("2 elements to send to itself, 1 to receive"),
            std::string::npos);
}

TEST(Communicator, HostMemoryNeedsNoWaiting) {
  world().join();
  world().synchronize("nothing");
  EXPECT_EQ(world().record().back().name, "synchronize nothing");
}

TEST(SharedBuffer, IsZeroedAlignedAndMayBeEmpty) {
  for (const std::size_t bytes : {0, 1, 100'000}) {
    const auto buffer = world().allocate("buffer", bytes);
    EXPECT_EQ(buffer->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % 64, 0u);
    const auto* const data = static_cast<const unsigned char*>(buffer->data());
    EXPECT_EQ(std::accumulate(data, data + bytes, 0), 0);
  }
}

TEST(SharedBuffer, IsSharedOnOneHost) {
  const auto buffer = world().allocate("buffer", 1000);
  EXPECT_EQ(buffer->shared(), world().size() > 1);  // tests run on one host
}

TEST(SharedBuffer, ReducesRangesAndLeavesTheRest) {
  const auto buffer = world().allocate("buffer", 10'000 * sizeof(float)), other = world().allocate("other", 64);
  float* const data = static_cast<float*>(buffer->data());
  for (std::size_t step = 0; step < 50; ++step) {
    for (std::size_t i = 0; i < 10'000; ++i) data[i] = value_of<float>(world().rank(), i);
    const std::size_t first = step * 37, count = step * 151;
    world().all_reduce("range", data + first, count, DType::f32, Reduce::sum);
    *static_cast<double*>(other->data()) = 1;
    world().all_reduce("other", other->data(), 1, DType::f64, Reduce::sum);
    EXPECT_EQ(*static_cast<double*>(other->data()), world().size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 10'000; ++i) {
      const bool inside = i >= first && i < first + count;
      wrong +=
          data[i] != (inside ? expected<float>(i, Reduce::sum, world().size()) : value_of<float>(world().rank(), i));
    }
    EXPECT_EQ(wrong, 0u) << step;
  }
}

TEST(SharedBuffer, MembersAtDifferentPlacesAllFail) {
  const auto buffer = world().allocate("buffer", 64 * sizeof(float));
  float* const data = static_cast<float*>(buffer->data());
  if (world().size() < 2) return world().all_reduce("gradient", data, 8, DType::f32, Reduce::sum);
  const std::string message = testing::error_of(Exit::internal, [&] {
    world().all_reduce("gradient", data + (world().rank() == 1 ? 8 : 0), 8, DType::f32, Reduce::sum);
  });
  EXPECT_NE(message.find("all_reduce \"gradient\""), std::string::npos) << message;
  EXPECT_NE(message.find("rank 1 of the group reduces with another range"), std::string::npos) << message;
  data[0] = 1;
  world().all_reduce("gradient", data, 1, DType::f32, Reduce::sum);  // and works again
  EXPECT_EQ(data[0], static_cast<float>(world().size()));
}

TEST(SharedBuffer, IsPlainForAllWhereOneMemberCannotShare) {
  // The last member may open no file.
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  if (world().rank() == world().size() - 1) setrlimit(RLIMIT_NOFILE, &none);
  const auto buffer = world().allocate("buffer", 100);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_FALSE(buffer->shared());
  float* const data = static_cast<float*>(buffer->data());
  data[3] = 2;
  world().all_reduce("buffer", data, 25, DType::f32, Reduce::sum);
  EXPECT_EQ(data[3], 2.0f * static_cast<float>(world().size()));
}

TEST(SharedBuffer, OutlivesItsGroup) {
  auto group = world().split("short", 0);
  const auto buffer = group->allocate("buffer", 4);
  group.reset();
  *static_cast<int*>(buffer->data()) = 7;
  EXPECT_EQ(*static_cast<int*>(buffer->data()), 7);
}

TEST(LocalCommunicator, IsAWorldOfOne) {
  const auto local = make_local_communicator();
  EXPECT_EQ(local->rank(), 0);
  EXPECT_EQ(local->size(), 1);
  std::vector<double> values{3.5, -1};
  local->all_reduce("values", values);
  local->broadcast("values", values.data(), 2, DType::f64, 0);
  EXPECT_EQ(values, (std::vector<double>{3.5, -1}));
  std::vector<double> all(2);
  local->all_gather("values", values.data(), all.data(), 2, DType::f64);
  EXPECT_EQ(all, values);
  std::vector<double> other(2);
  local->reduce_scatter("values", values.data(), other.data(), 2, DType::f64, Reduce::sum);
  EXPECT_EQ(other, values);
  const Range from{values.data(), 1}, to{other.data() + 1, 1};
  local->all_to_all("values", {&from, 1}, {&to, 1}, DType::f64);
  EXPECT_EQ(other[1], values[0]);
  EXPECT_EQ(local->all_gather_strings("text", "abc"), std::vector<std::string>{"abc"});
  EXPECT_EQ(local->split("none", -1), nullptr);
  const auto group = local->split("group", 3);
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(group->size(), 1);
  const auto buffer = group->allocate("buffer", 100);
  EXPECT_FALSE(buffer->shared());
  group->all_reduce("buffer", buffer->data(), 25, DType::f32, Reduce::sum);
  EXPECT_EQ(local->record().back().name, "split group");
}

TEST(MpiCommunicator, SeveralWorldsShareOneMpi) {
  if (!mpi_available()) {
    testing::expect_contains(testing::error_of(Exit::config, [] { make_mpi_communicator(nullptr, nullptr); }),
                             "without MPI");
    return;
  }
  auto second = make_mpi_communicator(nullptr, nullptr);
  EXPECT_EQ(second->size(), world().size());
  second->barrier("second");
  second.reset();
  world().barrier("still there");
  EXPECT_EQ(world().record().back().name, "barrier still there");
}

}  // namespace
}  // namespace polyhead
