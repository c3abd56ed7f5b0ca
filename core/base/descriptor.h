// A file descriptor that closes itself.
#pragma once

#include <unistd.h>

namespace polyhead {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}  // below 0: there is none
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

}  // namespace polyhead
