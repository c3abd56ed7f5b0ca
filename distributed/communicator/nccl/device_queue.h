// The stream that the collectives of a process run on, ordered against the caller's stream by events.
#pragma once

#include <cuda_runtime_api.h>

namespace polyhead {

// The stream does not block the default stream and has the highest priority, so that a collective starts while kernels
// of the caller are queued. All groups of a process share one: NCCL requires that all members issue the collectives of
// several communicators in the same order, and one stream runs them in that order.
class DeviceQueue {
 public:
  // Makes `device` the calling thread's.
  DeviceQueue(int device, cudaStream_t caller);
  ~DeviceQueue();
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;

  int device() const { return device_; }
  cudaStream_t stream() const { return stream_; }
  void enter();  // makes the stream wait for the work in the caller's stream
  void join();   // makes the caller's stream wait for the work in this one
  bool idle();   // whether all of its work has run

 private:
  int device_;
  cudaStream_t caller_, stream_ = nullptr;
  cudaEvent_t entered_ = nullptr, left_ = nullptr;
};

}  // namespace polyhead
