// Each kind's first metric.
#include "launch/headline.h"

#include "core/base/error.h"

namespace polyhead {

Headline headline(Kind kind) {
  switch (kind) {
    case Kind::classification:
    case Kind::tagging:
      return {"accuracy", "accuracy", "majority", "majority class", false, false};
    case Kind::multilabel:
      return {"micro_f1", "micro F1", "majority_micro_f1", "most frequent set", false, false};
    case Kind::regression:
      return {"mse", "mean squared error", "mean_mse", "mean", true, false};
    case Kind::masked_lm:
    case Kind::translation:
      return {"perplexity", "perplexity", "unigram_perplexity", "unigram", true, true};
  }
  throw Error(Exit::internal, "a kind of task without a metric");
}

}  // namespace polyhead
