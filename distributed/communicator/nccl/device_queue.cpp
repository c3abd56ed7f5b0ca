// The stream, and the events that order it against the caller's stream.
#include "distributed/communicator/nccl/device_queue.h"

#include "distributed/communicator/nccl/check.h"

namespace polyhead {

DeviceQueue::DeviceQueue(int device, cudaStream_t caller) : device_(device), caller_(caller) {
  POLYHEAD_CUDA_CHECK(cudaSetDevice(device));
  int least = 0, greatest = 0;
  POLYHEAD_CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  POLYHEAD_CUDA_CHECK(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest));
  POLYHEAD_CUDA_CHECK(cudaEventCreateWithFlags(&entered_, cudaEventDisableTiming));
  POLYHEAD_CUDA_CHECK(cudaEventCreateWithFlags(&left_, cudaEventDisableTiming));
}

// None of these calls waits for the device.
DeviceQueue::~DeviceQueue() {
  cudaEventDestroy(left_);
  cudaEventDestroy(entered_);
  cudaStreamDestroy(stream_);
}

// An event may be recorded again at once, as a stream that waits for it waits for the work recorded before.
void DeviceQueue::enter() {
  POLYHEAD_CUDA_CHECK(cudaEventRecord(entered_, caller_));
  POLYHEAD_CUDA_CHECK(cudaStreamWaitEvent(stream_, entered_, 0));
}

void DeviceQueue::join() {
  POLYHEAD_CUDA_CHECK(cudaEventRecord(left_, stream_));
  POLYHEAD_CUDA_CHECK(cudaStreamWaitEvent(caller_, left_, 0));
}

bool DeviceQueue::idle() {
  const cudaError_t state = cudaStreamQuery(stream_);
  if (state == cudaErrorNotReady) return false;
  POLYHEAD_CUDA_CHECK(state);
  return true;
}

}  // namespace polyhead
