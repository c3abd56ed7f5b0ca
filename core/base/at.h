// Elements by indices of any integer type, as ranks and tensor sizes are signed, and indices of elements.
#pragma once

#include <concepts>
#include <cstddef>

namespace polyhead {

// Returns container.at(index). Throws std::out_of_range, also for an index below 0.
template <class Container>
decltype(auto) at(Container& container, std::integral auto index) {
  return container.at(static_cast<std::size_t>(index));
}

// Returns the index of the element that an iterator into the container points to; at the end, the number of elements.
template <class Container>
std::size_t index_of(const Container& container, typename Container::const_iterator element) {
  return static_cast<std::size_t>(element - container.begin());
}

}  // namespace polyhead
