// Splits a flat buffer by rank. The last rank also gets the remainder, which is sent in a separate broadcast.
#include "distributed/step/sharding.h"

#include <algorithm>

#include "distributed/step/tensor_type.h"

namespace polyhead {
namespace {

constexpr std::int64_t kAlignment = 64;  // elements

std::int64_t equal_part(std::int64_t elements, int workers) {
  return elements / kAlignment / workers * kAlignment;
}

std::byte* at(const torch::Tensor& tensor, std::int64_t element) {
  return static_cast<std::byte*>(tensor.data_ptr()) + element * tensor.element_size();
}

}  // namespace

IndexRange part_of(std::int64_t elements, int rank, int workers) {
  const std::int64_t part = equal_part(elements, workers);
  return {rank * part, rank + 1 == workers ? elements : (rank + 1) * part};
}

void share_parts(Communicator& world, const torch::Tensor& flat, const std::string& name) {
  if (world.size() == 1) return;
  const std::int64_t part = equal_part(flat.numel(), world.size()), rest = flat.numel() - part * world.size();
  world.all_gather(name, at(flat, part * world.rank()), flat.data_ptr(), static_cast<std::size_t>(part), type_of(flat));
  world.broadcast(name + ".rest", at(flat, part * world.size()), static_cast<std::size_t>(rest), type_of(flat),
                  world.size() - 1);
  world.join();
}

torch::Tensor join_parts(Communicator& world, const torch::Tensor& part, std::int64_t elements, int root) {
  const auto workers = static_cast<std::size_t>(world.size());
  const torch::Tensor mine = part.cpu();
  std::vector<Range> send(workers), receive(workers);
  send[static_cast<std::size_t>(root)] = {mine.data_ptr(), static_cast<std::size_t>(mine.numel())};
  torch::Tensor whole;
  if (world.rank() == root) {
    whole = torch::empty({elements}, mine.options());
    for (int rank = 0; rank < world.size(); ++rank) {
      const auto [begin, end] = part_of(elements, rank, world.size());
      receive[static_cast<std::size_t>(rank)] = {at(whole, begin), static_cast<std::size_t>(end - begin)};
    }
  }
  world.all_to_all("checkpoint.parts", send, receive, type_of(mine));
  return whole;
}

}  // namespace polyhead
