// A common interface to zlib, libzstd and libbz2.
#include "datasets/reading/decoders.h"

#include <bzlib.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace polyhead {
namespace {

unsigned limited(std::size_t size) {
  return static_cast<unsigned>(std::min<std::size_t>(size, std::numeric_limits<unsigned>::max() / 2));
}

// Padding with zero bytes after the last member is skipped, as gzip does.
std::size_t zeros(std::string_view in) {
  return std::min(in.find_first_not_of('\0'), in.size());
}

class Gzip : public Decoder {
 public:
  Gzip() {
    if (::inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() override { ::inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Step decode(std::string_view in, std::span<char> out) override {
    if (ended_) {
      if (const std::size_t padding = zeros(in); padding > 0) return {padding, 0};
      ::inflateReset(&stream_);
      ended_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = limited(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = limited(out.size());
    const unsigned given = stream_.avail_in, room = stream_.avail_out;
    const int code = ::inflate(&stream_, Z_NO_FLUSH);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
      throw std::runtime_error(stream_.msg != nullptr ? stream_.msg : ::zError(code));
    ended_ = code == Z_STREAM_END;
    return {given - stream_.avail_in, room - stream_.avail_out};
  }
  bool complete() const override { return ended_; }

 private:
  z_stream stream_{};
  bool ended_ = false;
};

class Zstandard : public Decoder {
 public:
  Zstandard() : stream_(::ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
  }
  ~Zstandard() override { ::ZSTD_freeDStream(stream_); }
  Zstandard(const Zstandard&) = delete;
  Zstandard& operator=(const Zstandard&) = delete;

  Step decode(std::string_view in, std::span<char> out) override {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t left = ::ZSTD_decompressStream(stream_, &to, &from);
    if (::ZSTD_isError(left) != 0) throw std::runtime_error(::ZSTD_getErrorName(left));
    // Without input, the library returns the number of bytes that the next frame's header needs.
    if (from.pos > 0 || to.pos > 0) complete_ = left == 0;
    return {from.pos, to.pos};
  }
  bool complete() const override { return complete_; }

 private:
  ZSTD_DStream* stream_;
  bool complete_ = false;
};

class Bzip2 : public Decoder {
 public:
  Bzip2() { start(); }
  ~Bzip2() override { ::BZ2_bzDecompressEnd(&stream_); }
  Bzip2(const Bzip2&) = delete;
  Bzip2& operator=(const Bzip2&) = delete;

  Step decode(std::string_view in, std::span<char> out) override {
    if (ended_) {
      if (const std::size_t padding = zeros(in); padding > 0) return {padding, 0};
      ::BZ2_bzDecompressEnd(&stream_);
      start();
    }
    stream_.next_in = const_cast<char*>(in.data());
    stream_.avail_in = limited(in.size());
    stream_.next_out = out.data();
    stream_.avail_out = limited(out.size());
    const unsigned given = stream_.avail_in, room = stream_.avail_out;
    const int code = ::BZ2_bzDecompress(&stream_);
    if (code != BZ_OK && code != BZ_STREAM_END)
      throw std::runtime_error(code == BZ_DATA_ERROR_MAGIC ? "bytes that are not bzip2"
                               : code == BZ_DATA_ERROR     ? "a checksum does not match"
                                                           : fmt::format("error {} of libbz2", code));
    ended_ = code == BZ_STREAM_END;
    return {given - stream_.avail_in, room - stream_.avail_out};
  }
  bool complete() const override { return ended_; }

 private:
  void start() {
    stream_ = {};
    if (::BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw std::bad_alloc();
    ended_ = false;
  }
  bz_stream stream_{};
  bool ended_ = false;
};

}  // namespace

std::string_view compression_of(std::string_view head) {
  if (head.starts_with("\x1f\x8b")) return "gzip";
  if (head.starts_with("\x28\xb5\x2f\xfd")) return "Zstandard";
  if (head.size() >= 4 && head.starts_with("BZh") && head[3] >= '1' && head[3] <= '9' &&
      (head.size() < 5 || head[4] == '\x31' || head[4] == '\x17'))
    return "bzip2";
  return "";
}

std::unique_ptr<Decoder> make_decoder(std::string_view compression) {
  if (compression == "gzip") return std::make_unique<Gzip>();
  if (compression == "Zstandard") return std::make_unique<Zstandard>();
  return std::make_unique<Bzip2>();
}

}  // namespace polyhead
