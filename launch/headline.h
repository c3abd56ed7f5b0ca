// A task's headline metric: the first one in tables, whose rows evaluations give.
#pragma once

#include "core/base/kind.h"

namespace polyhead {

// A task's headline metric, which has an interval, and the baseline that it is compared with.
struct Headline {
  const char *key, *name, *baseline_key, *baseline;  // keys as in Evaluation::metrics
  bool lower_is_better, exponential;                 // exponential: the rows' ratio is the metric's logarithm
};

// By the task's kind; `entities`: its labels mark entities, as is_bio() says.
Headline headline(Kind kind, bool entities);

}  // namespace polyhead
