// Formats the versions of the libraries.
#include "launch/program/versions.h"

#include <fmt/format.h>

#include "launch/doctor/doctor.h"

namespace polyhead {

std::string library_versions() {
  std::string out;
  for (const Finding& library : look_at_libraries()) out += fmt::format("{} {}\n", library.subject, library.text);
  return out;
}

}  // namespace polyhead
