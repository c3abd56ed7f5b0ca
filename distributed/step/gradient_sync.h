// Sums the gradients of an arena over a group in buckets, which may set out while backward still runs:
// - Cut once, between parameters, in the order in which backward completes them: the reverse of their registration.
// - Launched in this order by every worker, always: a bucket when its parameters are complete and all buckets before it
//   have been launched, whatever is left (unused parameters, a worker without tokens) when backward has ended.
// - The tail bucket, which no computation is left to hide, is small: the first parameter and a few beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/model/arena.h"
#include "distributed/communicator/communicator.h"

namespace polyhead {

struct GradientBucket {
  std::vector<std::size_t> parameters;  // numbers in the order of registration, descending
  struct Part {
    std::int64_t begin = 0, end = 0;
  };
  std::vector<Part> parts;  // elements of the arena, padding included, ascending; decayed parameters lie apart
};

// The bytes at which PyTorch's DDP cuts: large enough that a collective's latency does not count, small enough that
// most of a model is on its way before backward ends.
inline constexpr std::size_t kBucketBytes = std::size_t{25} << 20;

// Buckets of at most `bytes`, unless a single parameter is larger, in the order of their launch. `arena` is finished.
std::vector<GradientBucket> cut_buckets(const Arena& arena, std::size_t bytes);

// Whether buckets set out during backward where gradients lie on this device. On a CUDA device collectives run beside
// the kernels. On a host a call blocks backward for as long as it would after it: there bench/gradient_sync found no
// gain (1.01 of the time, 0.96 to 1.10 over 15 pairs of steps).
bool overlaps(torch::Device device);

struct GradientSyncOptions {
  bool during_backward = false;  // the bits are the same either way
  std::size_t bucket_bytes = kBucketBytes;
};

class GradientSync {
 public:
  // `arena` is finished; both outlive this. All members of the group give equal arenas and options except for
  // during_backward.
  GradientSync(Communicator& group, std::string name, Arena& arena, const GradientSyncOptions& options);
  ~GradientSync();
  GradientSync(const GradientSync&) = delete;
  GradientSync& operator=(const GradientSync&) = delete;

  // The next backward is the step's last: what it completes is final. A worker without one leaves it out. Each
  // parameter must get its whole gradient of that backward at once, as autograd gives it and checkpointed() does; the
  // backward throws Error(internal) where one gets a second part.
  void start();
  // Launches what is left. Collective. On a device: enqueued, see Communicator.
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
  std::vector<std::size_t> waiting_;        // [bucket] parameters that are not complete
  std::vector<bool> complete_;              // [parameter]
  std::size_t launched_ = 0;                // buckets
  bool started_ = false;
  // A tensor holds its accumulator only weakly.
  struct Hook;
  std::vector<std::unique_ptr<Hook>> hooks_;
};

}  // namespace polyhead
