// Compressed streams: gzip, Zstandard and bzip2, each by its own library.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace polyhead {

// One compressed file's state. Several members or frames behind one another are read as one.
class Decoder {
 public:
  struct Step {
    std::size_t used = 0, made = 0;  // bytes of `in` and of `out`
  };
  virtual ~Decoder() = default;
  // Decodes as much of `in` as fits into `out`. Throws std::runtime_error with the library's words.
  virtual Step decode(std::string_view in, std::span<char> out) = 0;
  // Whether the stream may end here: not inside a member.
  virtual bool complete() const = 0;
};

// "gzip", "Zstandard" or "bzip2" by a file's first bytes; "" for anything else.
std::string_view compression_of(std::string_view head);

// A decoder for a name that compression_of returned.
std::unique_ptr<Decoder> make_decoder(std::string_view compression);

}  // namespace polyhead
