// The kinds that have a head: one line each.
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/heads/classification.h"
#include "core/heads/masked_lm.h"
#include "core/heads/multilabel.h"
#include "core/heads/regression.h"
#include "core/heads/tagging.h"
#include "core/heads/translation.h"

namespace polyhead {
namespace {

template <typename T>
std::unique_ptr<Head> make(const HeadSpec& spec) {
  return std::make_unique<T>(spec);
}

std::unique_ptr<Head> (*maker(Kind kind))(const HeadSpec&) {
  switch (kind) {
    case Kind::classification:
      return make<ClassificationHead>;
    case Kind::multilabel:
      return make<MultilabelHead>;
    case Kind::regression:
      return make<RegressionHead>;
    case Kind::tagging:
      return make<TaggingHead>;
    case Kind::masked_lm:
      return make<MaskedLmHead>;
    case Kind::translation:
      return make<TranslationHead>;
  }
  throw Error(Exit::internal, "a kind of task without a head");
}

}  // namespace

std::unique_ptr<Head> make_head(const HeadSpec& spec) {
  const auto check = [&](bool good, const std::string& key, const auto& value, const char* expected) {
    if (!good) throw Error(Exit::config, fmt::format("task.{}.{} = {}: it must {}", spec.task, key, value, expected));
  };
  const HeadOptions& o = spec.options;
  check(o.dropout >= 0 && o.dropout < 1, "dropout", o.dropout, "lie in [0, 1)");
  check(o.label_smoothing >= 0 && o.label_smoothing < 1, "label_smoothing", o.label_smoothing, "lie in [0, 1)");
  check(o.class_weights == "none" || o.class_weights == "balanced", "class_weights", o.class_weights,
        "be none or balanced");
  check(o.focal_gamma >= 0, "focal_gamma", o.focal_gamma, "be at least 0");
  check(o.loss == "mse" || o.loss == "huber", "loss", o.loss, "be mse or huber");
  check(o.delta > 0, "delta", o.delta, "be above 0");
  check(o.decoder_layers >= 1, "decoder_layers", o.decoder_layers, "be at least 1");
  check(o.max_target >= 1, "max_target", o.max_target, "be at least 1");
  return maker(spec.kind)(spec);
}

}  // namespace polyhead
