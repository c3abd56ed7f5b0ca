// The kinds that have a head: one line each.
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/heads/classification.h"
#include "core/heads/masked_lm.h"
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
    case Kind::tagging:
      return make<TaggingHead>;
    case Kind::masked_lm:
      return make<MaskedLmHead>;
    case Kind::translation:
      return make<TranslationHead>;
    default:
      return nullptr;
  }
}

}  // namespace

std::unique_ptr<Head> make_head(const HeadSpec& spec) {
  const auto make = maker(spec.kind);
  if (!make)
    throw Error(Exit::config, fmt::format("task {}: no head trains the kind {} yet; leave the task out with run.tasks",
                                          spec.task, name_of(spec.kind)));
  const auto check = [&](bool good, const std::string& key, double value, const char* expected) {
    if (!good) throw Error(Exit::config, fmt::format("task.{}.{} = {}: it must {}", spec.task, key, value, expected));
  };
  const HeadOptions& o = spec.options;
  check(o.dropout >= 0 && o.dropout < 1, "dropout", o.dropout, "lie in [0, 1)");
  check(o.label_smoothing >= 0 && o.label_smoothing < 1, "label_smoothing", o.label_smoothing, "lie in [0, 1)");
  check(o.decoder_layers >= 1, "decoder_layers", static_cast<double>(o.decoder_layers), "be at least 1");
  check(o.max_target >= 1, "max_target", static_cast<double>(o.max_target), "be at least 1");
  return make(spec);
}

}  // namespace polyhead
