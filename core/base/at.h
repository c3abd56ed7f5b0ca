// Elements by indices of any integer type, as ranks and tensor sizes are signed.
#pragma once

#include <concepts>
#include <cstddef>

namespace polyhead {

// Returns container.at(index). Throws std::out_of_range, also for an index below 0.
template <class Container>
decltype(auto) at(Container& container, std::integral auto index) {
  return container.at(static_cast<std::size_t>(index));
}

}  // namespace polyhead
