// The primary metric of each kind.
#include "launch/headline.h"

#include "core/base/error.h"

namespace polyhead {

Headline headline(Kind kind, bool entities) {
  if (kind == Kind::tagging && entities)
    return {"entity_f1", "entity F1", "majority_entity_f1", "majority class", false, false};
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
