// The registry of heads, one line each.
#include "core/heads/registry.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/numbers.h"
#include "core/heads/classification.h"
#include "core/heads/masked_lm.h"
#include "core/heads/multilabel.h"
#include "core/heads/regression.h"
#include "core/heads/span.h"
#include "core/heads/tagging.h"
#include "core/heads/translation.h"
#include "core/kinds/registry.h"

namespace polyhead {
namespace {

struct Entry {
  std::string name;
  Kind kind;
  HeadMaker make;
};

template <typename T>
Entry own_head_of(Kind kind) {
  return {std::string(name_of(kind)), kind, make_head_of<T>};
}

std::vector<Entry>& registry() {
  static std::vector<Entry> entries = {
      own_head_of<ClassificationHead>(Kind::classification),
      own_head_of<MultilabelHead>(Kind::multilabel),
      own_head_of<RegressionHead>(Kind::regression),
      own_head_of<TaggingHead>(Kind::tagging),
      own_head_of<MaskedLmHead>(Kind::masked_lm),
      own_head_of<TranslationHead>(Kind::translation),
      own_head_of<SpanHead>(Kind::span),
  };
  return entries;
}

}  // namespace

void register_head(const std::string& name, Kind kind, HeadMaker make, const std::vector<OwnMetric>& metrics) {
  if (name.empty() || std::ranges::count(registry(), name, &Entry::name) > 0)
    throw std::logic_error(fmt::format("a head cannot be registered as '{}': the name is empty or taken", name));
  register_metrics(name, kind, metrics);
  registry().push_back({name, kind, make});
}

std::vector<std::string> heads_of(Kind kind) {
  std::vector<std::string> names;
  for (const Entry& entry : registry())
    if (entry.kind == kind) names.push_back(entry.name);
  return names;
}

namespace {

// Throws Error(config) if an option is given that the head does not know.
void check_own_options(const HeadSpec& spec, const std::vector<std::string>& known) {
  for (const auto& [key, value] : spec.options.own)
    if (std::ranges::count(known, key) == 0)
      throw Error(Exit::config,
                  fmt::format("task.{}.head_options: the head {} has no option {} (of value {}); it has {}", spec.task,
                              spec.options.head.empty() ? name_of(spec.kind) : spec.options.head, key, value,
                              known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

}  // namespace

OwnOptions::OwnOptions(const HeadSpec& spec, const std::vector<std::string>& known) : spec_(spec) {
  check_own_options(spec, known);
}

std::string OwnOptions::text(const std::string& key, const std::string& otherwise) const {
  const auto found = spec_.options.own.find(key);
  return found == spec_.options.own.end() ? otherwise : found->second;
}

double OwnOptions::number(const std::string& key, double otherwise) const {
  const std::string value = text(key, "");
  if (value.empty()) return otherwise;
  double number = 0;
  if (read_number(value, number) != NumberProblem::none)
    throw Error(Exit::config,
                fmt::format("task.{}.head_options: {} = {}: it must be a number", spec_.task, key, value));
  return number;
}

std::unique_ptr<Head> make_head(const HeadSpec& spec) {
  const HeadOptions& o = spec.options;
  check_ranges("task." + spec.task, o);
  const std::string name = o.head.empty() ? std::string(name_of(spec.kind)) : o.head;
  const auto found = std::ranges::find_if(
      registry(), [&](const Entry& entry) { return entry.name == name && entry.kind == spec.kind; });
  if (found == registry().end())
    throw Error(Exit::config,
                fmt::format("task.{}.head = {}: this program has no such head for {}, but {}; choose one of them, or "
                            "use the program that registers it",
                            spec.task, name, name_of(spec.kind), fmt::join(heads_of(spec.kind), ", ")));
  if (name == name_of(spec.kind)) check_own_options(spec, {});
  return found->make(spec);
}

}  // namespace polyhead
