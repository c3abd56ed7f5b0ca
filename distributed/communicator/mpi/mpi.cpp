// Each group has its own MPI communicator, which returns errors instead of ending the process.
#include "distributed/communicator/mpi/mpi.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <memory>
#include <vector>

#include "core/base/error.h"
#include "distributed/communicator/local/local.h"
#include "distributed/communicator/mpi/check.h"
#include "distributed/communicator/mpi/shared_window.h"
#include "distributed/communicator/reduction.h"

namespace polyhead {

void throw_mpi_error(int code, const char* expression, const char* file, int line) {
  char words[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, words, &length);
  int error_class = code;
  MPI_Error_class(code, &error_class);
  const char* hint = "";
  if (error_class == MPI_ERR_TRUNCATE)
    hint = "; the members called different collectives or gave different counts";
  else if (error_class == MPI_ERR_NO_MEM)
    hint = "; memory or /dev/shm is full";
  const char* slash = std::strrchr(file, '/');
  throw Error(Exit::internal,
              fmt::format("MPI reports \"{}\"{} [{}, {}:{}]", words, hint, expression, slash ? slash + 1 : file, line));
}

namespace {

// Elements per call, as MPI's counts are ints. It is small enough for tests to reach a second piece.
constexpr std::size_t kPiece = std::size_t{1} << 24;

// Calls call(first element, elements as int) for pieces of at most `limit` elements.
template <class Count = int, class Call>
void in_pieces(std::size_t count, std::size_t limit, Call call) {
  for (std::size_t first = 0; first < count; first += limit)
    call(first, static_cast<Count>(std::min(limit, count - first)));
}

MPI_Datatype type_of(DType type) {
  switch (type) {
    case DType::u8:
      return MPI_UINT8_T;
    case DType::i32:
      return MPI_INT32_T;
    case DType::i64:
      return MPI_INT64_T;
    case DType::u64:
      return MPI_UINT64_T;
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
  }
  return MPI_DATATYPE_NULL;
}

// MPI between MPI_Init_thread and MPI_Finalize, shared by all groups.
class Session {
 public:
  Session(int* argc, char*** argv) {
    int initialized = 0, finalized = 0;
    POLYHEAD_MPI_CHECK(MPI_Finalized(&finalized));
    if (finalized) throw Error(Exit::internal, "MPI was finalised before and cannot be started twice in a process");
    POLYHEAD_MPI_CHECK(MPI_Initialized(&initialized));
    if (initialized) return;
    int provided = MPI_THREAD_SINGLE;
    POLYHEAD_MPI_CHECK(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided));
    owner_ = true;
    POLYHEAD_MPI_CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    if (provided < MPI_THREAD_FUNNELED)
      throw Error(Exit::config,
                  fmt::format("this MPI offers thread level {} only; at least MPI_THREAD_FUNNELED ({}) is needed",
                              provided, static_cast<int>(MPI_THREAD_FUNNELED)));
  }
  ~Session() {
    if (owner_ && alive()) MPI_Finalize();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Returns false if a collective clean-up would wait forever, for members that do not take part in it.
  static bool alive() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    return !finalized && std::uncaught_exceptions() == 0;
  }

  static std::shared_ptr<Session> get(int* argc, char*** argv) {
    static std::weak_ptr<Session> current;
    auto session = current.lock();
    if (!session) current = session = std::make_shared<Session>(argc, argv);
    return session;
  }

 private:
  bool owner_ = false;
};

class MpiCommunicator : public Communicator {
 public:
  // Takes ownership of `comm`.
  MpiCommunicator(std::shared_ptr<Session> session, MPI_Comm comm) : session_(std::move(session)), comm_(comm) {
    POLYHEAD_MPI_CHECK(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
    POLYHEAD_MPI_CHECK(MPI_Comm_rank(comm_, &rank_));
    POLYHEAD_MPI_CHECK(MPI_Comm_size(comm_, &size_));
  }
  ~MpiCommunicator() override {
    if (Session::alive()) MPI_Comm_free(&comm_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  [[noreturn]] void abort(int code) override {
    std::cout.flush();
    std::cerr.flush();
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, code);
    std::_Exit(code);
  }

 protected:
  void do_all_reduce(void* data, std::size_t count, DType type, Reduce reduce) override {
    for (SharedWindow* window : *windows_)
      if (window->contains(data, count * size_of(type))) return window->all_reduce(data, count, type, reduce);
    // These are not left to MPI: with a NaN, MPI_MAX and MPI_MIN give different results on different members; Open
    // MPI's sum of bytes saturates at 255 on processors with AVX (open-mpi/ompi issue 8045).
    const bool real = type == DType::f32 || type == DType::f64;
    if (reduce == Reduce::sum ? type == DType::u8 : real) return gather_and_reduce(data, count, type, reduce);
    // MPI requires that all members get identical results of a sum (standard 3.1, part 5.9.6). Open MPI does this: if
    // several members compute the same element (recursive doubling), they add the same two numbers in either order;
    // otherwise one member computes it.
    const MPI_Op op = reduce == Reduce::sum ? MPI_SUM : reduce == Reduce::max ? MPI_MAX : MPI_MIN;
    MPI_Datatype element = type_of(type);
    // Unsigned sums have the same bits, and also wrap in MPI's kernels.
    if (reduce == Reduce::sum && type == DType::i64) element = MPI_UINT64_T;
    if (reduce == Reduce::sum && type == DType::i32) element = MPI_UINT32_T;
    in_pieces(count, kPiece, [&](std::size_t first, int n) {
      POLYHEAD_MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, at(data, first, type), n, element, op, comm_));
    });
  }

  void do_broadcast(void* data, std::size_t count, DType type, int root) override {
    in_pieces(count, kPiece, [&](std::size_t first, int n) {
      POLYHEAD_MPI_CHECK(MPI_Bcast(at(data, first, type), n, type_of(type), root, comm_));
    });
  }

  void do_all_gather(const void* mine, void* all, std::size_t count, DType type) override {
    if (count <= kPiece) {
      const int n = static_cast<int>(count);
      const bool in_place = mine == at(all, static_cast<std::size_t>(rank_) * count, type);
      POLYHEAD_MPI_CHECK(MPI_Allgather(in_place ? MPI_IN_PLACE : mine, n, type_of(type), all, n, type_of(type), comm_));
      return;
    }
    // MPI_Allgather would put the pieces of a member at the wrong places.
    for (int root = 0; root < size_; ++root) {
      void* part = at(all, static_cast<std::size_t>(root) * count, type);
      if (root == rank_) std::memmove(part, mine, count * size_of(type));
      do_broadcast(part, count, type, root);
    }
  }

  void do_reduce_scatter(const void* all, void* mine, std::size_t count, DType type, Reduce reduce) override {
    const auto members = static_cast<std::size_t>(size_), width = size_of(type);
    constexpr std::size_t kElements = 1 << 18;
    std::vector<std::byte> parts(std::min(count, kElements) * members * width);
    in_pieces<std::size_t>(count, kElements, [&](std::size_t first, std::size_t n) {
      std::vector<Range> send, receive;
      for (std::size_t member = 0; member < members; ++member) {
        // It is only read.
        send.push_back({at(const_cast<void*>(all), member * count + first, type), n});
        receive.push_back({parts.data() + member * n * width, n});
      }
      do_all_to_all(send, receive, type);
      combine_parts(parts.data(), at(mine, first, type), n, type, reduce);
    });
  }

  void do_all_to_all(std::span<const Range> send, std::span<const Range> receive, DType type) override {
    std::vector<MPI_Request> requests;
    const auto own = static_cast<std::size_t>(rank_);
    if (send[own].count > 0) std::memmove(receive[own].data, send[own].data, send[own].count * size_of(type));
    const auto start = [&](std::size_t member, const Range& range, auto call) {
      if (member == own) return;
      in_pieces(range.count, kPiece, [&](std::size_t first, int n) {
        requests.push_back(MPI_REQUEST_NULL);
        POLYHEAD_MPI_CHECK(
            call(at(range.data, first, type), n, type_of(type), static_cast<int>(member), 0, comm_, &requests.back()));
      });
    };
    for (std::size_t i = 0; i < receive.size(); ++i) start(i, receive[i], MPI_Irecv);
    for (std::size_t i = 0; i < send.size(); ++i) start(i, send[i], MPI_Isend);
    POLYHEAD_MPI_CHECK(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
  }

  void do_barrier() override { POLYHEAD_MPI_CHECK(MPI_Barrier(comm_)); }

  std::unique_ptr<Communicator> do_split(int color) override {
    MPI_Comm part = MPI_COMM_NULL;
    POLYHEAD_MPI_CHECK(MPI_Comm_split(comm_, color < 0 ? MPI_UNDEFINED : color, rank_, &part));
    if (part == MPI_COMM_NULL) return nullptr;
    return std::make_unique<MpiCommunicator>(session_, part);
  }

  std::unique_ptr<SharedBuffer> do_allocate(std::size_t bytes) override {
    if (size_ > 1 && on_one_host())
      if (auto window = SharedWindow::make(comm_, bytes, windows_)) return window;
    return make_plain_buffer(bytes);
  }

 private:
  bool on_one_host() const {
    MPI_Comm host = MPI_COMM_NULL;
    POLYHEAD_MPI_CHECK(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host));
    int here = 0;
    POLYHEAD_MPI_CHECK(MPI_Comm_size(host, &here));
    MPI_Comm_free(&host);
    return here == size_;  // equal on all members, as either one host has all of them or none does
  }

  static void* at(void* data, std::size_t element, DType type) {
    return static_cast<std::byte*>(data) + element * size_of(type);
  }

  // Every member reduces all elements, in the order of ranks.
  void gather_and_reduce(void* data, std::size_t count, DType type, Reduce reduce) {
    const auto members = static_cast<std::size_t>(size_);
    constexpr std::size_t kElements = 1 << 16;
    std::vector<std::byte> all(std::min(count, kElements) * members * size_of(type));
    in_pieces<std::size_t>(count, kElements, [&](std::size_t first, std::size_t n) {
      do_all_gather(at(data, first, type), all.data(), n, type);
      combine_parts(all.data(), at(data, first, type), n, type, reduce);
    });
  }

  // Reduces `n` elements of each member. The members' elements are stored one after another.
  void combine_parts(const std::byte* parts, void* into, std::size_t n, DType type, Reduce reduce) const {
    dispatch(type, reduce, [&]<class T, Reduce op>() {
      T* result = static_cast<T*>(into);
      const T* part = reinterpret_cast<const T*>(parts);
      std::copy_n(part, n, result);
      for (int member = 1; member < size_; ++member) {
        part += n;
        for (std::size_t i = 0; i < n; ++i) result[i] = combine<op>(result[i], part[i]);
      }
    });
  }

  std::shared_ptr<Session> session_;
  MPI_Comm comm_;
  std::shared_ptr<SharedWindow::Registry> windows_ = std::make_shared<SharedWindow::Registry>();
  int rank_ = 0, size_ = 1;
};

}  // namespace

bool mpi_available() {
  return true;
}

std::unique_ptr<Communicator> make_mpi_communicator(int* argc, char*** argv) {
  auto session = Session::get(argc, argv);
  MPI_Comm world = MPI_COMM_NULL;
  POLYHEAD_MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &world));
  return std::make_unique<MpiCommunicator>(std::move(session), world);
}

}  // namespace polyhead
