// Checks blocks when they are first read, and decodes chunked datasets piece by piece.
#include "datasets/column.h"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <list>
#include <mutex>
#include <unordered_map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/progress.h"
#include "datasets/hdf5.h"
#include "datasets/shard.h"

namespace polyhead {
namespace {

using Bytes = std::shared_ptr<const std::vector<std::byte>>;

static_assert(std::endian::native == std::endian::little, "shards are mapped as they lie: little endian");
static_assert(kIntegrityBlock == 1ULL << 20);

// Caches the decoded pieces of chunked datasets; the least recently used ones are removed first. Thread-safe.
class DecodedPieces {
 public:
  static DecodedPieces& shared() {
    static DecodedPieces pieces;
    return pieces;
  }
  static std::uint64_t next_id() {
    static std::atomic<std::uint64_t> last = 0;
    return ++last;
  }

  // Returns a piece of a column, and decodes it if it is not cached. Two threads may decode the same piece.
  template <class Decode>
  Bytes get(std::uint64_t column, std::uint64_t piece, const Decode& decode) {
    const Key key{column, piece};
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = where_.find(key); found != where_.end()) {
        recent_.splice(recent_.begin(), recent_, found->second);
        return found->second->second;
      }
    }
    Bytes made = decode();
    const std::lock_guard lock(mutex_);
    if (where_.contains(key)) return made;
    recent_.emplace_front(key, made);
    where_[key] = recent_.begin();
    for (bytes_ += made->size(); bytes_ > kCapacity && recent_.size() > 1;) drop(std::prev(recent_.end()));
    return made;
  }

  void forget(std::uint64_t column) {
    const std::lock_guard lock(mutex_);
    for (auto at = recent_.begin(); at != recent_.end();) {
      const auto here = at++;
      if (here->first.column == column) drop(here);
    }
  }

 private:
  static constexpr std::size_t kCapacity = 512ULL << 20;  // bytes
  struct Key {
    std::uint64_t column, piece;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const { return key.column * 0x9e3779b97f4a7c15ULL + key.piece; }
  };
  using List = std::list<std::pair<Key, Bytes>>;

  void drop(List::iterator entry) {
    bytes_ -= entry->second->size();
    where_.erase(entry->first);
    recent_.erase(entry);
  }

  std::mutex mutex_;
  List recent_;
  std::unordered_map<Key, List::iterator, Hash> where_;
  std::size_t bytes_ = 0;
};

// Reads rows [first, first + count) of a dataset through HDF5.
Bytes read_rows(const ColumnSource& source, std::uint64_t first, std::uint64_t count) {
  const hdf5::Session session;
  const hdf5::Handle file = hdf5::open_file(source.file->path());
  const hdf5::Handle set = hdf5::open_dataset(file, source.path);
  const hdf5::Handle space(POLYHEAD_HDF5(H5Dget_space(set)), H5Sclose);
  const int rank = source.width > 0 ? 2 : 1;
  const std::array<hsize_t, 2> start = {first, 0}, extent = {count, source.width};
  POLYHEAD_HDF5(H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr));
  const hdf5::Handle memory(POLYHEAD_HDF5(H5Screate_simple(rank, extent.data(), nullptr)), H5Sclose);
  auto out =
      std::make_shared<std::vector<std::byte>>(count * std::max<std::uint64_t>(source.width, 1) * source.element);
  POLYHEAD_HDF5(H5Dread(set, source.memory_type, memory, space, H5P_DEFAULT, out->data()));
  return out;
}

// A block of a column.
struct Block {
  std::uint64_t first, count, of;  // its first element, its elements, and those of the column
};

// Offsets start at 0, do not decrease, and end at the rule's limit. fail(element, what) throws.
template <class Number, class Fail>
void check_offsets(const std::string& name, const Rule& rule, const Block& block, Number number, Fail fail) {
  const auto [first, count, all] = block;
  for (std::uint64_t i = 1; i < count; ++i) {
    if (number(i) < number(i - 1)) fail(first + i, fmt::format("{} decreases at sample {}", name, first + i - 1));
    if (rule.what == Rule::What::filled && number(i) == number(i - 1))
      fail(first + i, fmt::format("sample {} of {} is an empty sequence", first + i - 1, name));
  }
  if (first == 0 && number(0) != 0) fail(0, fmt::format("{} starts at {}, expected 0", name, number(0)));
  const std::uint64_t last = number(count - 1);
  if (last > rule.limit)
    fail(first + count - 1, fmt::format("{} reaches {}, but there are {} elements", name, last, rule.limit));
  if (first + count == all && last != rule.limit)
    fail(first + count - 1, fmt::format("{} ends at {}, but there are {} elements", name, last, rule.limit));
}

}  // namespace

void fail_shard(const std::filesystem::path& file, const std::string& what) {
  throw Error(Exit::data, fmt::format("shard {}: {}. The file breaks the dataset format (docs/format.md) or is "
                                      "damaged: import the data set again, or take another copy.",
                                      file.string(), what));
}

Column::Column(ColumnSource source, Rule rule, std::vector<std::uint64_t> hashes)
    : source_(std::move(source)), rule_(rule), hashes_(std::move(hashes)) {
  checked_ = std::make_unique<std::atomic<std::uint8_t>[]>(blocks());
  if (source_.direct) return;
  id_ = DecodedPieces::next_id();
  // Whole chunks with a total size of about a block.
  const std::uint64_t row = std::max<std::uint64_t>(source_.width, 1) * source_.element;
  rows_at_once_ = std::max<std::uint64_t>(kBlock / row / source_.chunk, 1) * source_.chunk;
}

Column::~Column() {
  if (id_ > 0 && checked_ != nullptr) DecodedPieces::shared().forget(id_);
}

const std::byte* Column::raw(std::uint64_t first, std::uint64_t count, ReadBuffer& buffer) const {
  if (!source_.direct) return decoded(first, count, buffer);
  const std::uint64_t at = source_.offset + first * source_.element, bytes = count * source_.element;
  std::shared_ptr<const OpenFile> open = source_.file->pin();
  if (open->map() != nullptr) {
    const std::byte* data = open->map() + at;
    buffer.pin = std::move(open);
    return data;
  }
  buffer.bytes.resize(bytes);
  open->read(at, bytes, buffer.bytes.data());
  return buffer.bytes.data();
}

const std::byte* Column::decoded(std::uint64_t first, std::uint64_t count, ReadBuffer& buffer) const {
  const std::uint64_t width = std::max<std::uint64_t>(source_.width, 1), elements = rows_at_once_ * width,
                      rows = source_.size / width;
  const auto piece_of = [&](std::uint64_t piece) {
    return DecodedPieces::shared().get(id_, piece, [&] {
      try {
        return read_rows(source_, piece * rows_at_once_, std::min(rows_at_once_, rows - piece * rows_at_once_));
      } catch (const Error& error) {
        fail_shard(source_.file->path(),
                   fmt::format("/{} cannot be read at row {} ({})", source_.path, piece * rows_at_once_, error.what()));
      }
    });
  };
  const std::uint64_t from = first / elements, to = (first + count - 1) / elements;
  if (from == to) {
    const Bytes piece = piece_of(from);
    buffer.pin = piece;
    return piece->data() + (first - from * elements) * source_.element;
  }
  buffer.bytes.resize(count * source_.element);
  for (std::uint64_t piece = from; piece <= to; ++piece) {
    const Bytes data = piece_of(piece);
    const std::uint64_t begin = std::max(first, piece * elements),
                        end = std::min(first + count, (piece + 1) * elements);
    std::memcpy(buffer.bytes.data() + (begin - first) * source_.element,
                data->data() + (begin - piece * elements) * source_.element, (end - begin) * source_.element);
  }
  return buffer.bytes.data();
}

void Column::check_all() const {
  for (std::uint64_t block = 0; block < blocks(); ++block)
    if (checked_[block].load(std::memory_order_relaxed) == 0) check_block(block);
}

void Column::check_block(std::uint64_t block) const {
  const std::uint64_t in_block = kBlock / source_.element, first = block * in_block,
                      count = std::min(in_block, source_.size - first);
  note_progress();
  ReadBuffer buffer;
  const std::byte* data = raw(first, count, buffer);
  if (!hashes_.empty() && hash_bytes(data, count * source_.element) != hashes_[block])
    fail_shard(source_.file->path(),
               fmt::format("/{} differs from its checksum in block {} of 1 MiB", source_.path, block));
  check_rule(data, first, count, block);
  checked_[block].store(1, std::memory_order_relaxed);
}

void Column::check_rule(const std::byte* data, std::uint64_t first, std::uint64_t count, std::uint64_t block) const {
  const auto fail = [&](std::uint64_t i, const std::string& what) {
    fail_shard(source_.file->path(),
               fmt::format("{} (/{}, element {}, block {} of 1 MiB)", what, source_.path, i, block));
  };
  const std::string name = "/" + source_.path;
  const auto sample = [&](std::uint64_t i) { return i / rule_.width; };
  const auto number = [&](std::uint64_t i) -> std::uint64_t {
    return source_.element == 1   ? load<std::uint8_t>(data, i)
           : source_.element == 2 ? load<std::uint16_t>(data, i)
           : source_.element == 4 ? load<std::uint32_t>(data, i)
                                  : load<std::uint64_t>(data, i);
  };
  // Computes the maximum first, in a loop without branches, which the compiler vectorises.
  const auto largest = [&]<class T>(T) {
    T most = 0;
    for (std::uint64_t i = 0; i < count; ++i) most = std::max(most, load<T>(data, i));
    return static_cast<std::uint64_t>(most);
  };
  switch (rule_.what) {
    case Rule::What::anything:
      return;
    case Rule::What::token:
    case Rule::What::label:
      if ((source_.element == 2 ? largest(std::uint16_t{}) : largest(std::uint32_t{})) < rule_.limit) return;
      for (std::uint64_t i = 0; i < count; ++i)
        if (number(i) >= rule_.limit)
          fail(first + i, rule_.what == Rule::What::token
                              ? fmt::format("{} holds the id {} at {}; the vocabulary has {} entries", name, number(i),
                                            first + i, rule_.limit)
                              : fmt::format("{} of sample {} is {}; the task has {} classes", name, first + i,
                                            number(i), rule_.limit));
      return;
    case Rule::What::tag:
      for (std::uint64_t i = 0; i < count; ++i)
        if (number(i) >= rule_.limit && number(i) != kNotScored)
          fail(first + i,
               fmt::format("{} holds {} at {}; the task has {} tags", name, number(i), first + i, rule_.limit));
      return;
    case Rule::What::zero_one:
      for (std::uint64_t i = 0; i < count; ++i)
        if (number(i) > 1)
          fail(first + i, fmt::format("{} of sample {} holds {}, expected 0 or 1", name, sample(first + i), number(i)));
      return;
    case Rule::What::finite:
      for (std::uint64_t i = 0; i < count; ++i)
        if (!std::isfinite(load<float>(data, i)))
          fail(first + i, fmt::format("{} of sample {} is not a finite number", name, sample(first + i)));
      return;
    case Rule::What::weight:
      for (std::uint64_t i = 0; i < count; ++i)
        if (const auto weight = load<float>(data, i); !is_sample_weight(weight))
          fail(first + i, fmt::format("{} of sample {} is {}, expected 0 or a number from {:g} to {:g}", name,
                                      sample(first + i), weight, kLeastSampleWeight, kMostSampleWeight));
      return;
    case Rule::What::offset:
    case Rule::What::filled:
      return check_offsets(name, rule_, {first, count, source_.size}, number, fail);
  }
}

}  // namespace polyhead
