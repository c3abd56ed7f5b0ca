// The compiled part of the loader's benchmark: Polyhead's loader and the plain C loop over one data set. It reads
// commands from standard input, so that bench/loader.py can measure them alternately with the Python contestants:
//   loader DIR BATCH SEED       prints one JSON line: tasks and quotas
//   rows FIRST STEPS FILE       the samples of each step, in the batch's order: int64 [steps, batch]
//   dump WHO FIRST STEPS FILE   each step's arrays as (length, values...) in int64: tokens, offsets, then for each task
//                               labels, tags, target tokens and target offsets
//   time WHO FIRST STEPS        prints wall seconds, the process's CPU seconds, tokens and steps
// WHO: polyhead | thread (Polyhead reading ahead in a thread) | gather
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/gather.h"
#include "core/base/error.h"
#include "datasets/hdf5.h"
#include "datasets/sampling/loader.h"
#include "datasets/sampling/prefetch.h"

namespace {

using namespace polyhead;
using nlohmann::json;

// What the loader is made from, as training makes it for a single worker that holds every task.
struct Setting {
  Manifest manifest;
  std::vector<LoaderTask> tasks;
  std::vector<MixtureEntry> mixture;
  std::int64_t batch = 0;

  Setting(const std::string& folder, std::int64_t samples) : manifest(read_manifest(folder)), batch(samples) {
    std::vector<std::string> names;
    std::vector<std::uint64_t> sizes;
    for (const TaskInfo& info : manifest.tasks) {
      LoaderTask& task = tasks.emplace_back();
      task.task = names.size();
      task.info = info;
      task.reader = std::make_shared<SplitReader>(folder, manifest, info, "train");
      names.push_back(info.name);
      sizes.push_back(task.reader->size());
    }
    const MixtureOptions options{.batch = batch, .phases = {MixturePhase{}}};
    mixture = entries_of(options, phase_quotas(options, names, sizes));
  }
};

// --- the plain C loop ------------------------------------------------------------------------------------------------

const std::byte* map_whole(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  void* map = MAP_FAILED;
  if (descriptor >= 0 && ::fstat(descriptor, &about) == 0)
    map = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor, 0);
  if (descriptor >= 0) ::close(descriptor);
  if (map == MAP_FAILED) throw Error(Exit::data, fmt::format("cannot map {}", file.string()));
  return static_cast<const std::byte*>(map);
}

// Where a contiguous dataset of the file lies in memory; nullptr when there is none.
template <class T>
const T* array(const std::byte* map, hid_t file, const char* group, const char* name) {
  const std::string path = fmt::format("{}/{}", group, name);
  if (POLYHEAD_HDF5(H5Lexists(file, group, H5P_DEFAULT)) == 0 ||
      POLYHEAD_HDF5(H5Lexists(file, path.c_str(), H5P_DEFAULT)) == 0)
    return nullptr;
  const hdf5::Handle set = hdf5::open_dataset(file, path);
  const hdf5::Handle type(POLYHEAD_HDF5(H5Dget_type(set)), H5Tclose);
  const haddr_t offset = H5Dget_offset(set);
  if (offset == HADDR_UNDEF || offset % alignof(T) != 0 || H5Tget_size(type) != sizeof(T))
    throw Error(Exit::data, fmt::format("/{} is not a contiguous, aligned array of {}-byte numbers: make the data set "
                                        "with bench/loader.py",
                                        path, sizeof(T)));
  return reinterpret_cast<const T*>(map + offset);
}

class Gather {
 public:
  Gather(const std::string& folder, const Setting& setting) {
    std::uint64_t longest = 1;
    for (const LoaderTask& task : setting.tasks) {
      first_shard_.push_back(shards_.size());
      for (const ShardInfo& info : task.info.splits.at("train").shards) {
        const std::filesystem::path path = std::filesystem::path(folder) / info.file;
        const std::byte* map = map_whole(path);
        const hdf5::Session session;
        const hdf5::Handle file = hdf5::open_file(path);
        gather_shard& shard = shards_.emplace_back();
        shard.input = {array<std::uint16_t>(map, file, "input", "tokens"),
                       array<std::uint64_t>(map, file, "input", "offsets")};
        shard.target = {array<std::uint16_t>(map, file, "target", "tokens"),
                        array<std::uint64_t>(map, file, "target", "offsets")};
        shard.tags = array<std::uint16_t>(map, file, "target", "tags");
        shard.label = array<std::uint32_t>(map, file, "target", "label");
        samples_.push_back(info.samples);
        for (const gather_ragged& ragged : {shard.input, shard.target})
          for (std::uint64_t i = 0; ragged.offsets != nullptr && i < info.samples; ++i)
            longest = std::max(longest, ragged.offsets[i + 1] - ragged.offsets[i]);
      }
    }
    const auto batch = static_cast<std::size_t>(setting.batch);
    tokens_.resize(batch * longest);
    offsets_.resize(batch + 1);
    for (const std::int64_t quota : setting.mixture[0].quota) {
      const auto rows = static_cast<std::size_t>(quota);
      Buffers& own = buffers_.emplace_back();
      own.labels.resize(rows);
      own.tags.resize(rows * longest);
      own.target.resize(rows * longest);
      own.target_offsets.resize(rows + 1);
      slices_.push_back({rows, own.labels.data(), own.tags.data(), own.target.data(), own.target_offsets.data()});
    }
    // Only translation has targets of their own lengths.
    for (std::size_t task = 0; task < slices_.size(); ++task)
      if (shards_[first_shard_[task]].target.values == nullptr) slices_[task].target_offsets = nullptr;
  }

  // Adds a batch's rows to those that are to be gathered.
  void prepare(const std::vector<std::vector<std::uint64_t>>& rows) {
    for (std::size_t task = 0; task < rows.size(); ++task)
      for (std::uint64_t sample : rows[task]) {
        std::size_t shard = first_shard_[task];
        for (; sample >= samples_[shard]; ++shard) sample -= samples_[shard];
        rows_.push_back({static_cast<std::uint32_t>(shard), static_cast<std::uint32_t>(sample)});
      }
  }
  void forget() { rows_.clear(); }

  // Gathers the step-th batch of those prepared; returns its tokens.
  std::int64_t load(std::size_t step) {
    gather(shards_.data(), rows_.data() + step * (offsets_.size() - 1), slices_.data(), slices_.size(), tokens_.data(),
           offsets_.data());
    std::int64_t tokens = offsets_.back();
    for (const gather_slice& slice : slices_)
      if (slice.target_offsets != nullptr) tokens += slice.target_offsets[slice.rows];
    return tokens;
  }

  // What was gathered last, as the loader's batch holds it.
  Batch packed(const Batch& like) const {
    Batch batch = like;
    batch.offsets = offsets_;
    batch.tokens.assign(tokens_.begin(), tokens_.begin() + offsets_.back());
    for (TaskSlice& slice : batch.slices) {
      const std::size_t task = slice.task;
      const Buffers& own = buffers_[task];
      const gather_shard& shard = shards_[first_shard_[task]];
      const std::int64_t input = offsets_[static_cast<std::size_t>(slice.first_sequence + slice.sequences)] -
                                 offsets_[static_cast<std::size_t>(slice.first_sequence)];
      if (shard.label != nullptr) slice.labels = own.labels;
      if (shard.tags != nullptr) slice.tags.assign(own.tags.begin(), own.tags.begin() + input);
      if (shard.target.values == nullptr) continue;
      slice.target_offsets = own.target_offsets;
      slice.target_tokens.assign(own.target.begin(), own.target.begin() + own.target_offsets.back());
    }
    return batch;
  }

 private:
  struct Buffers {
    std::vector<std::int64_t> labels, tags, target, target_offsets;
  };
  std::vector<gather_shard> shards_;
  std::vector<std::uint64_t> samples_;    // of each shard
  std::vector<std::size_t> first_shard_;  // of each task
  std::vector<Buffers> buffers_;          // of each task
  std::vector<gather_slice> slices_;
  std::vector<gather_row> rows_;
  std::vector<std::int64_t> tokens_, offsets_;
};

// --- commands --------------------------------------------------------------------------------------------------------

void write(std::ostream& out, const std::vector<std::int64_t>& values) {
  const auto length = static_cast<std::int64_t>(values.size());
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof length));
}

void write(std::ostream& out, const Batch& batch) {
  write(out, batch.tokens);
  write(out, batch.offsets);
  for (const TaskSlice& slice : batch.slices)
    for (const auto* values : {&slice.labels, &slice.tags, &slice.target_tokens, &slice.target_offsets})
      write(out, *values);
}

constexpr std::size_t kDepth = 2;  // steps made ahead, training's default

struct Measured {
  std::int64_t tokens = 0, steps = 0;
  double seconds = 0, cpu_seconds = 0;
};

Measured measure(std::int64_t first, std::int64_t steps, const std::function<std::int64_t(std::int64_t)>& load) {
  Measured measured;
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  for (std::int64_t step = first; step < first + steps; ++step) measured.tokens += load(step);
  measured.cpu_seconds = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  measured.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  measured.steps = steps;
  return measured;
}

void serve(const std::string& folder, std::int64_t samples, std::uint64_t seed) {
  const Setting setting(folder, samples);
  Loader loader(setting.tasks, setting.manifest.tokenizer, seed);
  const auto load = [&](std::int64_t step) { return loader.load(setting.mixture, step).batches.front(); };
  Gather gather(folder, setting);
  std::vector<SampleStream> streams;
  for (const LoaderTask& task : setting.tasks)
    streams.emplace_back(task_key(seed, task.info.name), task.reader->size());
  // The samples of a step, task by task, without a look at the data, which would warm the caches.
  const auto rows_of = [&](std::int64_t step) {
    std::vector<std::vector<std::uint64_t>> rows(streams.size());
    for (std::size_t task = 0; task < rows.size(); ++task) {
      const auto [first, count] = positions(setting.mixture, task, step);
      rows[task].resize(static_cast<std::size_t>(count));
      streams[task].read(first, rows[task]);
    }
    return rows;
  };
  json about = {{"tasks", json::array()}, {"quotas", setting.mixture[0].quota}};
  for (const LoaderTask& task : setting.tasks) about["tasks"].push_back(task.info.name);
  std::cout << about.dump() << std::endl;

  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb, who, file;
    std::int64_t first = 0, steps = 0;
    words >> verb;
    if (verb != "rows") words >> who;
    words >> first >> steps;
    if (verb != "time") words >> file;
    if (!words || (verb != "rows" && who != "polyhead" && who != "thread" && who != "gather"))
      throw Error(Exit::usage, fmt::format("the command '{}' is not understood", line));
    json answer = json::object();
    if (verb == "rows") {
      std::ofstream out(file, std::ios::binary);
      for (std::int64_t step = first; step < first + steps; ++step)
        for (const std::vector<std::uint64_t>& rows : rows_of(step))
          out.write(reinterpret_cast<const char*>(rows.data()),
                    static_cast<std::streamsize>(rows.size() * sizeof rows[0]));
      if (!out.flush()) throw Error(Exit::cannot_write, "cannot write " + file);
    } else if (verb == "dump") {
      std::ofstream out(file, std::ios::binary);
      for (std::int64_t step = first; step < first + steps; ++step) {
        const Batch batch = load(step);
        if (who == "gather") {
          gather.forget();
          gather.prepare(rows_of(step));
          gather.load(0);
        }
        write(out, who == "gather" ? gather.packed(batch) : batch);
      }
      if (!out.flush()) throw Error(Exit::cannot_write, "cannot write " + file);
    } else if (verb == "time") {
      Measured measured;
      if (who == "gather") {
        // Which rows come is known to it beforehand: it has no sampler.
        gather.forget();
        for (std::int64_t step = first; step < first + steps; ++step) gather.prepare(rows_of(step));
        measured = measure(0, steps, [&](std::int64_t step) { return gather.load(static_cast<std::size_t>(step)); });
      } else if (who == "thread") {
        Prefetcher<Batch> batches(load, first, first + steps - 1, kDepth);
        measured = measure(first, steps, [&](std::int64_t) { return batches.next().token_count(); });
      } else {
        measured = measure(first, steps, [&](std::int64_t step) { return load(step).token_count(); });
      }
      answer = {{"seconds", measured.seconds},
                {"cpu_seconds", measured.cpu_seconds},
                {"tokens", measured.tokens},
                {"steps", measured.steps}};
    } else {
      throw Error(Exit::usage, fmt::format("the command '{}' is not understood", line));
    }
    std::cout << answer.dump() << std::endl;
  }
}

}  // namespace

int main(int count, char** words) {
  try {
    if (count != 4) throw Error(Exit::usage, "usage: loader DIR BATCH SEED, then commands on standard input");
    serve(words[1], std::stoll(words[2]), std::stoull(words[3]));
    return 0;
  } catch (const Error& error) {
    std::cerr << "loader: " << error.what() << "\n";
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::cerr << "loader: " << error.what() << "\n";
    return static_cast<int>(Exit::internal);
  }
}
