// Decompresses gzip, Zstandard and bzip2, each with its own library.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace polyhead {

// The state of one compressed file. Consecutive members or frames are read as one stream.
class Decoder {
 public:
  struct Step {
    std::size_t used = 0, made = 0;  // bytes consumed from `in` and written to `out`
  };
  virtual ~Decoder() = default;
  // Decodes as much of `in` as fits into `out`. Throws std::runtime_error with the library's message.
  virtual Step decode(std::string_view in, std::span<char> out) = 0;
  // Whether the stream may end here, that is, not inside a member.
  virtual bool complete() const = 0;
};

// Returns "gzip", "Zstandard" or "bzip2" from the first bytes of a file; "" for anything else.
std::string_view compression_of(std::string_view head);

// Returns the decoder for a name that compression_of() returned.
std::unique_ptr<Decoder> make_decoder(std::string_view compression);

}  // namespace polyhead
