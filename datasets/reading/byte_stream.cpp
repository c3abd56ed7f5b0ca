// Reads blocks of 1 MiB with read(2) and passes them to a decoder, or to the reader of Parquet.
#include "datasets/reading/byte_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "core/base/hash.h"
#include "datasets/reading/foreign_formats.h"

namespace polyhead {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kEndings = {
    {{".gz", "gzip"}, {".zst", "Zstandard"}, {".bz2", "bzip2"}}};

std::string_view compression_by_name(const std::filesystem::path& file) {
  for (const auto& [ending, name] : kEndings)
    if (file.extension() == ending) return name;
  return "";
}

}  // namespace

std::filesystem::path uncompressed_name(const std::filesystem::path& file) {
  return compression_by_name(file).empty() ? file : file.parent_path() / file.stem();
}

ByteStream::ByteStream(const std::filesystem::path& content, const std::filesystem::path& name, bool name_classes)
    : name_(name), buffer_(1 << 20, '\0') {
  const auto fail = [&](int code) { throw std::system_error(code, std::system_category()); };
  descriptor_ = ::open(content.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail(errno);
  try {
    struct stat about {};
    if (::fstat(descriptor_, &about) != 0) fail(errno);
    if (S_ISDIR(about.st_mode)) fail(EISDIR);
    fill();
    compression_ = compression_of(rest_);
    const std::string_view named = compression_by_name(name);
    if (!rest_.empty() && !named.empty() && compression_.empty())
      throw BadStream(fmt::format(
          "has the ending {} but is not {}; it is damaged or truncated, or it is plain text and must be renamed",
          name.extension().string(), named));
    if (!compression_.empty())
      decoder_ = make_decoder(compression_);
    else if (is_parquet(rest_))
      rows_ = open_parquet(descriptor_, name, name_classes);
    else if (const std::string foreign = foreign_format(rest_.substr(0, 512), name); !foreign.empty())
      throw BadStream(foreign);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ByteStream::~ByteStream() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// Blocks are filled completely, so that the hash does not depend on how many bytes a single read returns.
void ByteStream::fill() {
  std::size_t size = 0;
  while (size < buffer_.size()) {
    const ssize_t got = ::read(descriptor_, buffer_.data() + size, buffer_.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw BadStream("cannot be read: " + std::system_category().message(errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  rest_ = std::string_view(buffer_).substr(0, size);
  if (size > 0) hash_ = hash_bytes(rest_, hash_);
  ended_ = size < buffer_.size();
}

// At its end the file is hashed in the same blocks as in fill().
std::size_t ByteStream::read_rows(std::span<char> out) {
  std::size_t made = 0;
  while (made < out.size()) {
    if (lines_read_ == lines_.size()) {
      lines_.clear();
      lines_read_ = 0;
      try {
        if (!rows_->next(lines_)) break;
      } catch (const std::runtime_error& error) {
        throw BadStream(error.what());
      }
    }
    const std::size_t size = std::min(lines_.size() - lines_read_, out.size() - made);
    std::memcpy(out.data() + made, lines_.data() + lines_read_, size);
    lines_read_ += size;
    made += size;
  }
  while (made == 0 && !ended_) fill();
  return made;
}

std::size_t ByteStream::read(std::span<char> out) {
  if (rows_ != nullptr) return read_rows(out);
  std::size_t made = 0;
  while (made < out.size()) {
    if (rest_.empty() && !ended_) fill();
    if (decoder_ == nullptr) {
      const std::size_t size = std::min(rest_.size(), out.size() - made);
      if (size == 0) break;
      std::memcpy(out.data() + made, rest_.data(), size);
      rest_.remove_prefix(size);
      made += size;
      continue;
    }
    Decoder::Step step;
    // At the end of a member, only further input begins another one.
    try {
      if (!rest_.empty() || !decoder_->complete()) step = decoder_->decode(rest_, out.subspan(made));
    } catch (const std::runtime_error& error) {
      throw BadStream(
          fmt::format("is not whole {}: {}; it is damaged, so get the file again", compression_, error.what()));
    }
    rest_.remove_prefix(step.used);
    made += step.made;
    if (step.used > 0 || step.made > 0 || (rest_.empty() && !ended_)) continue;
    if (!decoder_->complete())
      throw BadStream(
          fmt::format("ends in the middle of its {} data; it is cut off, so get the file again", compression_));
    break;
  }
  if (!started_ && decoder_ != nullptr && is_parquet({out.data(), made}))
    throw BadStream("is a compressed Parquet file; decompress it, as Parquet is compressed internally");
  if (!started_ && decoder_ != nullptr)
    if (const std::string foreign =
            foreign_format({out.data(), std::min<std::size_t>(made, 512)}, uncompressed_name(name_));
        !foreign.empty())
      throw BadStream("decompressed, it " + foreign);
  started_ = true;
  return made;
}

}  // namespace polyhead
