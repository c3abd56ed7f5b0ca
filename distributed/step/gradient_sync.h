// Sums the gradients of an arena over a group in buckets, whose all-reduce may start during backward:
// - Parameters are divided into buckets once, in the order in which backward completes them: the reverse of their
//   registration.
// - Every worker launches the buckets in this order. A bucket is launched when its parameters are complete and all
//   buckets before it have been launched. The rest (unused parameters, a worker without tokens) is launched after
//   backward.
// - The last bucket, which cannot overlap with computation, is small: the first parameter and a few more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/index_range.h"
#include "core/model/arena.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

struct GradientBucket {
  std::vector<std::size_t> parameters;  // numbers in the order of registration, descending
  std::vector<IndexRange> parts;        // of the arena, with padding, ascending; separate for decayed parameters
};

// The bucket size of PyTorch's DDP: large enough that latency does not matter, small enough that most of a model's
// gradients are sent before backward ends.
inline constexpr std::size_t kBucketBytes = std::size_t{25} << 20;

// Returns buckets of at most `bytes` (or of one larger parameter), in the order in which they are launched. The memory
// of `arena` must be allocated.
std::vector<GradientBucket> cut_buckets(const Arena& arena, std::size_t bytes);

// Returns whether buckets are launched during backward for gradients on this device. On a CUDA device, collectives run
// at the same time as kernels. On a host, a call would block backward: bench/gradient_sync found no gain there (1.01 of
// the time, 0.96 to 1.10 over 15 pairs of steps).
bool overlaps(torch::Device device);

struct GradientSyncOptions {
  bool during_backward = false;  // does not change the bits
  std::size_t bucket_bytes = kBucketBytes;
};

class GradientSync {
 public:
  // The memory of `arena` must be allocated, and both must outlive this object. All members of the group must pass
  // equal arenas and options, except for during_backward.
  GradientSync(Communicator& group, std::string name, Arena& arena, const GradientSyncOptions& options);
  ~GradientSync();
  GradientSync(const GradientSync&) = delete;
  GradientSync& operator=(const GradientSync&) = delete;

  // Announces that the next backward is the last of the step, so that the gradients that it completes are final. A
  // worker without a last backward does not call it. In that backward, each parameter must get its whole gradient at
  // once, as with autograd and checkpointed(); otherwise the backward throws Error(internal).
  void start();
  // Launches the remaining buckets. Collective. On a device they are enqueued, see Communicator.
  void finish();

  const std::vector<GradientBucket>& buckets() const { return buckets_; }

 private:
  void complete(std::size_t parameter);
  void launch(std::size_t bucket);

  Communicator& group_;
  Arena& arena_;
  std::vector<GradientBucket> buckets_;
  std::vector<std::string> names_;          // [bucket]
  std::vector<std::vector<Range>> ranges_;  // [bucket]
  std::vector<std::size_t> bucket_of_;      // [parameter]
  std::vector<std::int64_t> waiting_;       // [bucket] parameters that are not complete
  std::vector<bool> complete_;              // [parameter]
  std::size_t launched_ = 0;                // buckets
  bool started_ = false;
  // A tensor has only a weak reference to its accumulator, so the hooks keep it alive.
  struct Hook;
  std::vector<std::unique_ptr<Hook>> hooks_;
};

}  // namespace polyhead
