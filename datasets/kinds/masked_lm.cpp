// masked_lm: no target of its own; masks are drawn in training, with the counter-based generator.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/counter_random.h"
#include "core/base/error.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

// A separate draw with the same parent key as dropout's.
constexpr std::uint64_t kMaskStream = 0x6d61736b696e6731ULL;

enum Draw : std::uint64_t { kSelect, kReplace, kToken };

// Returns a token, uniform over the ids that are not special.
std::int64_t random_token(std::uint64_t random, const TokenizerInfo& info) {
  std::array<std::int64_t, 5> special = {info.pad, info.unk, info.bos, info.eos, info.mask};
  std::sort(special.begin(), special.end());
  const auto end = std::unique(special.begin(), special.end());
  const std::int64_t ordinary = info.vocab_size - (end - special.begin());
  if (ordinary <= 0)
    throw Error(Exit::data,
                fmt::format("masking: the tokenizer '{}' has {} ids, all of them special: use a larger vocabulary",
                            info.file, info.vocab_size));
  std::int64_t token = bounded(random, static_cast<std::uint32_t>(ordinary));
  for (auto id = special.begin(); id != end; ++id)
    if (*id <= token) ++token;
  return token;
}

// Masks tokens of the batch, from the first one of the sample to the last one of the batch.
void mask_sequence(const PackedSample& out) {
  auto& [batch, slice, begin, key, info, masking] = out;
  const std::uint64_t mask_key = derive(key, kMaskStream);
  const auto random = [&](std::size_t row, Draw what) { return draw(derive(mask_key, row - out.first_token), what); };
  const std::size_t first = slice.masked_rows.size();
  std::size_t lowest = batch.tokens.size();  // the row to mask if none is selected
  double lowest_draw = 1;
  for (std::size_t row = begin; row < batch.tokens.size(); ++row) {
    if (!maskable(info, batch.tokens[row])) continue;
    const double drawn = unit(random(row, kSelect));
    if (drawn < masking.share) slice.masked_rows.push_back(static_cast<std::int64_t>(row));
    if (drawn < lowest_draw) {
      lowest_draw = drawn;
      lowest = row;
    }
  }
  if (slice.masked_rows.size() == first && lowest < batch.tokens.size())
    slice.masked_rows.push_back(static_cast<std::int64_t>(lowest));
  for (std::size_t i = first; i < slice.masked_rows.size(); ++i) {
    const auto row = static_cast<std::size_t>(slice.masked_rows[i]);
    std::int64_t& token = batch.tokens[row];
    slice.masked_tokens.push_back(token);
    const double drawn = unit(random(row, kReplace));
    if (drawn < masking.mask) {
      token = info.mask;
    } else if (drawn < masking.mask + masking.random) {
      token = random_token(random(row, kToken), info);
    }
  }
  slice.count += static_cast<std::int64_t>(slice.masked_rows.size() - first);
}

class MaskedLm : public Target {
 public:
  using Target::Target;

  bool takes_vectors() const override { return false; }
  const std::vector<PartNames>& parts() const override {
    static const std::vector<PartNames> all = {{"text", usual_text_names(), PartNames::Role::input}};
    return all;
  }
  bool fits(Format format) const override { return format == Format::text || Target::fits(format); }
  void read(const SampleParts& in, Sample& sample) const override { in.input(sample); }
  bool is_stored() const override { return false; }

  void pack(const StoredSample&, const PackedSample& out) const override { mask_sequence(out); }
  std::size_t losses(const TaskSlice& slice) const override { return slice.masked_tokens.size(); }
  std::string show(const StoredSample&, const TaskInfo&, const Tokenizer&,
                   std::span<const std::int64_t>) const override {
    return "";
  }
};

}  // namespace

std::unique_ptr<Target> make_masked_lm(Kind kind) {
  return std::make_unique<MaskedLm>(kind);
}

}  // namespace polyhead
