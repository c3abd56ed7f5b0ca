// Measures latency and bandwidth between pairs of workers, with the same communicator that training uses.
#include <algorithm>
#include <chrono>

#include "launch/doctor/doctor.h"

namespace polyhead {
namespace {

// Returns the seconds of one direction: half the median of `times` messages back and forth.
double one_way(Communicator& pair, std::vector<unsigned char>& data, int times) {
  std::vector<double> took;
  for (int i = -2; i < times; ++i) {  // the first two rounds connect and warm up
    const auto began = std::chrono::steady_clock::now();
    // The second broadcast starts where the first one arrived, so the two together are a round trip.
    for (const int root : {0, 1}) pair.broadcast("doctor.link", data.data(), data.size(), DType::u8, root);
    if (i >= 0) took.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() / 2);
  }
  std::ranges::sort(took);
  return took[took.size() / 2];
}

}  // namespace

std::vector<Link> measure_links(Communicator& world) {
  constexpr int kAllPairs = 8;  // workers
  std::vector<Link> links;
  for (int first = 0; first < world.size(); ++first)
    for (int second = first + 1; second < world.size(); ++second)
      if (world.size() <= kAllPairs || second == first + 1) links.push_back({first, second});
  std::vector<unsigned char> small(8), large(4 << 20);
  for (Link& link : links) {
    const bool mine = world.rank() == link.first || world.rank() == link.second;
    const auto pair = world.split("doctor.pair", mine ? 0 : -1);
    std::vector<double> values(2);
    if (pair) {
      values[0] = one_way(*pair, small, 51);
      values[1] = static_cast<double>(large.size()) / one_way(*pair, large, 7);
      if (world.rank() == link.second) values = {0, 0};
    }
    // The others wait here, so that nothing else runs during a measurement.
    world.all_reduce("doctor.links", values);
    link.latency = values[0], link.bandwidth = values[1];
  }
  return links;
}

}  // namespace polyhead
