// The metric by which a kind of task is told in tables: the one whose rows evaluations give.
#pragma once

#include "core/base/kind.h"

namespace polyhead {

// A kind's first metric, the one that has an interval, beside what costs nothing.
struct Headline {
  const char *key, *name, *baseline_key, *baseline;  // keys as in Evaluation::metrics
  bool lower_is_better, exponential;                 // exponential: the rows' ratio is the metric's logarithm
};

Headline headline(Kind kind);

}  // namespace polyhead
