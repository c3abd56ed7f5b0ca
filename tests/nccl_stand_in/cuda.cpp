// The CUDA runtime of the stand-in: devices, streams, events.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <thread>

#include "tests/nccl_stand_in/stand_in.h"

namespace polyhead::stand_in {
namespace {

struct Stream {
  std::deque<std::function<bool()>> work;
  bool running = false;  // streams that wait for each other

  bool run() {
    if (running) return false;
    running = true;
    while (!work.empty() && work.front()()) work.pop_front();
    running = false;
    return work.empty();
  }
};

struct Event {
  std::uint64_t recorded = 0, reached = 0;
  std::shared_ptr<Stream> stream;  // of the newest record
};

template <class T>
using Handles = std::map<const void*, std::shared_ptr<T>>;

Handles<Stream> streams;
Handles<Event> events;
std::map<const std::byte*, std::size_t> memory;
thread_local int current_device = -1;
int undone = 0;

template <class T>
std::shared_ptr<T> find(const Handles<T>& handles, const void* handle) {
  const auto found = handles.find(handle);
  return found == handles.end() ? nullptr : found->second;
}

template <class T, class Handle>
void add(Handles<T>& handles, Handle* handle) {
  auto made = std::make_shared<T>();
  *handle = reinterpret_cast<Handle>(made.get());
  handles.emplace(made.get(), std::move(made));
}

}  // namespace

Faults& faults() {
  static Faults the_faults;
  return the_faults;
}

void cuda_counts(Counts& counts) {
  counts.streams = static_cast<int>(streams.size());
  counts.events = static_cast<int>(events.size());
  counts.undone = undone;
}

void cuda_reset() {
  faults() = {};
  undone = 0;
}

void enqueue(cudaStream_t stream, std::function<bool()> work) {
  find(streams, stream)->work.push_back(std::move(work));
}

void launch(cudaStream_t stream, std::function<void()> kernel) {
  enqueue(stream, [kernel = std::move(kernel)] { return kernel(), true; });
}

bool run(cudaStream_t stream, double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!find(streams, stream)->run()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

DeviceMemory::DeviceMemory(std::size_t bytes) : bytes_(std::max<std::size_t>(bytes, 1)) {
  memory[bytes_.data()] = bytes_.size();
}

DeviceMemory::~DeviceMemory() {
  memory.erase(bytes_.data());
}

bool is_device_memory(const void* begin, std::size_t bytes) {
  const auto* first = static_cast<const std::byte*>(begin);
  auto next = memory.upper_bound(first);
  if (next == memory.begin()) return false;
  --next;
  return first + bytes <= next->first + next->second;
}

}  // namespace polyhead::stand_in

using namespace polyhead::stand_in;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = std::max(faults().devices, 0);
  return faults().devices < 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= faults().devices) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = std::max(current_device, 0);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  if (device < 0 || device >= faults().devices) return cudaErrorInvalidDevice;
  if (faults().bus.empty())
    std::snprintf(id, static_cast<std::size_t>(length), "0000:%02x:00.0", device + 1);
  else
    std::snprintf(id, static_cast<std::size_t>(length), "%s", faults().bus.c_str());
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int) {
  if (flags != cudaStreamNonBlocking || current_device < 0) return cudaErrorInvalidValue;
  add(streams, stream);
  return cudaSuccess;
}

// Work that is left goes on for those that wait for it.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const auto found = find(streams, stream);
  if (!found) return cudaErrorInvalidResourceHandle;
  undone += !found->work.empty();
  streams.erase(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const auto found = find(streams, stream);
  if (!found) return cudaErrorInvalidResourceHandle;
  if (faults().query != cudaSuccess) return faults().query;
  return found->run() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  if (flags != cudaEventDisableTiming) return cudaErrorInvalidValue;
  add(events, event);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return events.erase(event) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto found = find(events, event);
  const auto on = find(streams, stream);
  if (!found || !on) return cudaErrorInvalidResourceHandle;
  found->stream = on;
  const std::uint64_t record = ++found->recorded;
  on->work.emplace_back([found, record] {
    found->reached = std::max(found->reached, record);
    return true;
  });
  return cudaSuccess;
}

// Waits for the newest record at the time of the call.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  const auto found = find(events, event);
  const auto on = find(streams, stream);
  if (!found || !on) return cudaErrorInvalidResourceHandle;
  on->work.emplace_back([found, record = found->recorded, from = found->stream] {
    if (found->reached < record) from->run();
    return found->reached >= record;
  });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (kind != cudaMemcpyDeviceToDevice || !is_device_memory(to, bytes) || !is_device_memory(from, bytes))
    return cudaErrorInvalidValue;
  launch(stream, [=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  *attributes = {};
  attributes->type = is_device_memory(pointer, 1) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    default:
      return "another error";
  }
}
