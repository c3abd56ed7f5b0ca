// A library in the version that the program was compiled against and in the version that was loaded.
#pragma once

#include <string>

namespace polyhead {

struct Library {
  std::string name = {};      // "HDF5"
  std::string compiled = {};  // version of its headers; "": the program was built without it
  std::string loaded = {};    // version that the loaded library reports; "": it reports none
  std::string file = {};      // file that it was loaded from; "": not known
  std::string note = {};      // "thread level multiple"
  std::string fault = {};     // why the two versions are incompatible; "": they are compatible
  std::string cure = {};
};

// Returns the file that holds the code or data at `address`, or "" if the loader does not know it.
std::string file_of(const void* address);

}  // namespace polyhead
