// The stream that the collectives of a process run on, ordered against the caller's stream by events.
#pragma once

#include <cuda_runtime_api.h>

namespace polyhead {

// Not blocking against the default stream, of the highest priority, so that a collective starts while kernels of the
// caller are queued. All groups of a process share one: NCCL asks that members issue the collectives of several
// communicators in one order, and one stream runs them in that order.
class DeviceQueue {
 public:
  // Makes `device` the calling thread's.
  DeviceQueue(int device, cudaStream_t caller);
  ~DeviceQueue();
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;

  int device() const { return device_; }
  cudaStream_t stream() const { return stream_; }
  void enter();  // the stream waits for what the caller's holds
  void join();   // the caller's stream waits for what this one holds
  bool idle();   // everything has run

 private:
  int device_;
  cudaStream_t caller_, stream_ = nullptr;
  cudaEvent_t entered_ = nullptr, left_ = nullptr;
};

}  // namespace polyhead
