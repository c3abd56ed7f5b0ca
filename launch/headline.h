// The primary metric of each task kind, shown in result tables. Evaluation::rows belongs to it.
#pragma once

#include "core/base/kind.h"

namespace polyhead {

// A primary metric, which has an interval, and the baseline that it is compared with.
struct Headline {
  const char *key, *name, *baseline_key, *baseline;  // keys as in Evaluation::metrics
  bool lower_is_better, exponential;                 // exponential: the ratio of the rows is the metric's logarithm
};

// entities: whether the task's labels mark entities, see is_bio().
Headline headline(Kind kind, bool entities);

}  // namespace polyhead
