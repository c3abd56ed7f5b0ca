// A library that the program was compiled against, and the one that was loaded.
#pragma once

#include <string>

namespace polyhead {

struct Library {
  std::string name = {};      // "HDF5"
  std::string compiled = {};  // version of its headers; "" where the program was built without it
  std::string loaded = {};    // version that the loaded library tells; "" where it tells none
  std::string file = {};      // that it was loaded from; "" where that is not known
  std::string note = {};      // "thread level multiple"
  std::string fault = {};     // why the two do not go together; "" when they do
  std::string cure = {};
};

// The file that holds the code or data at `address`; "" when the loader does not tell.
std::string file_of(const void* address);

}  // namespace polyhead
