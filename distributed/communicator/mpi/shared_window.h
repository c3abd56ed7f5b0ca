// Buffers of a group on one host, which all members map and reduce in place: each member reduces its slice of all
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

  // Collective over `group`. bytes: of this member. Returns null on all members if one of them could not map another's
  // part. The window is in `registry` until it is destroyed.
  static std::unique_ptr<SharedWindow> make(MPI_Comm group, std::size_t bytes, std::shared_ptr<Registry> registry);
  ~SharedWindow() override;

  std::byte* of(int member) const override;
  bool contains(const void* begin, std::size_t bytes) const;
  // Collective. [data, data + count) must be inside the window, at the same offset on every member. Throws
  // Error(internal) on all members if their offsets, types or reductions differ.
  void all_reduce(void* data, std::size_t count, DType type, Reduce reduce);

 private:
  struct Control;  // before each member's data
  struct Part;     // one member's mapped memory
  SharedWindow(std::vector<Part> parts, int rank, std::size_t bytes, std::shared_ptr<Registry> registry);
  void meet();

  std::vector<Part> parts_;  // [members]
  std::size_t rank_;
  int spins_;  // number of polls before the thread yields the core
  std::uint64_t meetings_ = 0;
  std::shared_ptr<Registry> registry_;
};

}  // namespace polyhead
