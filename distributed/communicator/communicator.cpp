// The function that every collective goes through, and the collectives that are composed of others.
#include "distributed/communicator/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "distributed/communicator/timeline.h"

namespace polyhead {
namespace {

constexpr std::size_t kRecords = 256;

}  // namespace

std::size_t size_of(DType type) {
  switch (type) {
    case DType::u8:
      return 1;
    case DType::i32:
    case DType::f32:
      return 4;
    case DType::i64:
    case DType::u64:
    case DType::f64:
      return 8;
  }
  throw Error(Exit::internal, fmt::format("unknown element type {}", static_cast<int>(type)));
}

std::deque<CollectiveRecord> Communicator::record() const {
  std::deque<CollectiveRecord> result;
  for (TimelineEvent& event : Timeline::of_process().events())
    if (event.collective && event.group == group_)
      result.push_back({event.number, std::move(event.name), event.bytes, event.begin, event.end});
  while (result.size() > kRecords) result.pop_front();
  return result;
}

template <class Call>
auto Communicator::funnel(const char* verb, std::string_view name, std::size_t bytes, Call call) {
  const std::uint64_t number = ++calls_;
  CollectiveSpan span(verb, name, group_, number, bytes);
  try {
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      span.done();
    } else {
      auto result = call();
      span.done();
      return result;
    }
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{} \"{}\" (call {} of its group, rank {} of {}): {}", verb, name, number,
                                          rank(), size(), error.what()));
  }
}

void Communicator::all_reduce(std::string_view name, void* data, std::size_t count, DType type, Reduce reduce) {
  funnel("all_reduce", name, count * size_of(type), [&] {
    if (count > 0) do_all_reduce(data, count, type, reduce);
  });
}

void Communicator::all_reduce(std::string_view name, std::span<const Range> ranges, DType type, Reduce reduce) {
  std::size_t count = 0;
  std::vector<Range> filled;
  for (const Range& range : ranges) {
    count += range.count;
    if (range.count > 0) filled.push_back(range);
  }
  funnel("all_reduce", name, count * size_of(type), [&] {
    if (!filled.empty()) do_all_reduce_ranges(filled, type, reduce);
  });
}

void Backend::do_all_reduce_ranges(std::span<const Range> ranges, DType type, Reduce reduce) {
  for (const Range& range : ranges) do_all_reduce(range.data, range.count, type, reduce);
}

void Communicator::broadcast(std::string_view name, void* data, std::size_t count, DType type, int root) {
  funnel("broadcast", name, count * size_of(type), [&] {
    if (root < 0 || root >= size())
      throw Error(Exit::internal, fmt::format("root {} is not a rank of the group", root));
    if (count > 0) do_broadcast(data, count, type, root);
  });
}

void Communicator::all_gather(std::string_view name, const void* mine, void* all, std::size_t count, DType type) {
  funnel("all_gather", name, count * size_of(type), [&] {
    if (count > 0) do_all_gather(mine, all, count, type);
  });
}

void Communicator::reduce_scatter(std::string_view name, const void* all, void* mine, std::size_t count, DType type,
                                  Reduce reduce) {
  funnel("reduce_scatter", name, count * static_cast<std::size_t>(size()) * size_of(type), [&] {
    if (count > 0) do_reduce_scatter(all, mine, count, type, reduce);
  });
}

void Communicator::all_to_all(std::string_view name, std::span<const Range> send, std::span<const Range> receive,
                              DType type) {
  std::size_t count = 0;
  for (const Range& range : send) count += range.count;
  funnel("all_to_all", name, count * size_of(type), [&] {
    if (std::cmp_not_equal(send.size(), size()) || receive.size() != send.size())
      throw Error(Exit::internal, fmt::format("{} ranges to send and {} to receive, but the group has {} members",
                                              send.size(), receive.size(), size()));
    const auto own = static_cast<std::size_t>(rank());
    if (send[own].count != receive[own].count)
      throw Error(Exit::internal,
                  fmt::format("{} elements to send to itself, {} to receive", send[own].count, receive[own].count));
    do_all_to_all(send, receive, type);
  });
}

void Communicator::synchronize(std::string_view name) {
  funnel("synchronize", name, 0, [&] { do_synchronize(); });
}

void Communicator::barrier(std::string_view name) {
  funnel("barrier", name, 0, [&] { do_barrier(); });
}

std::unique_ptr<Communicator> Communicator::split(std::string_view name, int color) {
  auto group = funnel("split", name, 0, [&] { return do_split(color); });
  if (group) group->group_ = derive(derive(group_, calls_), static_cast<std::uint64_t>(color));
  return group;
}

std::unique_ptr<SharedBuffer> Communicator::allocate(std::string_view name, std::size_t bytes) {
  return funnel("allocate", name, bytes, [&] { return do_allocate(bytes); });
}

void Communicator::all_reduce(std::string_view name, std::vector<double>& values, Reduce reduce) {
  all_reduce(name, values.data(), values.size(), DType::f64, reduce);
}
void Communicator::all_reduce(std::string_view name, std::vector<std::int64_t>& values, Reduce reduce) {
  all_reduce(name, values.data(), values.size(), DType::i64, reduce);
}
void Communicator::all_reduce(std::string_view name, std::vector<std::uint64_t>& values, Reduce reduce) {
  all_reduce(name, values.data(), values.size(), DType::u64, reduce);
}

std::vector<std::string> Communicator::all_gather_strings(std::string_view name, const std::string& mine) {
  const auto members = static_cast<std::size_t>(size());
  const std::uint64_t length = mine.size();
  std::vector<std::uint64_t> lengths(members);
  all_gather(fmt::format("{}.lengths", name), &length, lengths.data(), 1, DType::u64);
  // All strings are padded to the longest, as they are names, tables and error texts, not data.
  const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
  std::string padded = mine;
  padded.resize(longest);
  std::string all(members * longest, '\0');
  all_gather(name, padded.data(), all.data(), longest, DType::u8);
  std::vector<std::string> result;
  for (std::size_t i = 0; i < members; ++i) result.push_back(all.substr(i * longest, lengths[i]));
  return result;
}

}  // namespace polyhead
