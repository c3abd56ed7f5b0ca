// In a world of one, collectives at most copy.
#include "distributed/communicator/local/local.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <new>

namespace polyhead {
namespace {

class PlainBuffer : public SharedBuffer {
 public:
  explicit PlainBuffer(std::size_t bytes) : SharedBuffer(::operator new(bytes, kAlign), bytes, false) {
    std::memset(data(), 0, bytes);
  }
  ~PlainBuffer() override { ::operator delete(data(), kAlign); }

 private:
  static constexpr std::align_val_t kAlign{64};
};

class LocalCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }

  [[noreturn]] void abort(int code) override {
    std::cout.flush();
    std::cerr.flush();
    std::fflush(nullptr);
    std::_Exit(code);
  }

 protected:
  void do_all_reduce(void*, std::size_t, DType, Reduce) override {}
  void do_broadcast(void*, std::size_t, DType, int) override {}
  void do_all_gather(const void* mine, void* all, std::size_t count, DType type) override {
    std::memmove(all, mine, count * size_of(type));
  }
  void do_reduce_scatter(const void* all, void* mine, std::size_t count, DType type, Reduce) override {
    std::memmove(mine, all, count * size_of(type));
  }
  void do_all_to_all(std::span<const Range> send, std::span<const Range> receive, DType type) override {
    if (send[0].count > 0) std::memmove(receive[0].data, send[0].data, send[0].count * size_of(type));
  }
  void do_barrier() override {}
  std::unique_ptr<Communicator> do_split(int color) override {
    return color < 0 ? nullptr : std::make_unique<LocalCommunicator>();
  }
  std::unique_ptr<SharedBuffer> do_allocate(std::size_t bytes) override { return make_plain_buffer(bytes); }
};

}  // namespace

std::unique_ptr<Communicator> make_local_communicator() {
  return std::make_unique<LocalCommunicator>();
}

std::unique_ptr<SharedBuffer> make_plain_buffer(std::size_t bytes) {
  return std::make_unique<PlainBuffer>(bytes);
}

}  // namespace polyhead
