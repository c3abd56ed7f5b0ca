// Buffers of a group on one host that all members map, all-reduced in place: each member reduces its slice of all
// buffers, in the order of ranks, and writes the result to all of them.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "distributed/communicator/communicator.h"

namespace polyhead {

class SharedWindow : public SharedBuffer {
 public:
  using Registry = std::vector<SharedWindow*>;

  // Collective over `group`. Null on all members where one of them could not map another's part. The window enters
  // itself into `registry` for as long as it lives.
  static std::unique_ptr<SharedWindow> make(MPI_Comm group, std::size_t bytes, std::shared_ptr<Registry> registry);
  ~SharedWindow() override;

  bool contains(const void* begin, std::size_t bytes) const;
  // Collective; [data, data + count) lies inside, at the same place on every member. Throws Error(internal) on all
  // members when they disagree about the place, the type or the reduction.
  void all_reduce(void* data, std::size_t count, DType type, Reduce reduce);

 private:
  struct Control;  // before each member's data
  struct Part;     // one member's mapped memory
  SharedWindow(std::vector<Part> parts, int rank, std::size_t bytes, std::shared_ptr<Registry> registry);
  void meet();

  std::vector<Part> parts_;  // [members]
  std::size_t rank_;
  int spins_;  // before giving up the core
  std::uint64_t meetings_ = 0;
  std::shared_ptr<Registry> registry_;
};

}  // namespace polyhead
