// Compares the versions that the program was compiled with and those that were loaded.
#include <fmt/format.h>

#include "core/model/torch_library.h"
#include "datasets/hdf5_library.h"
#include "distributed/communicator/libraries.h"
#include "launch/doctor/doctor.h"

namespace polyhead {

std::vector<Finding> look_at_libraries() {
  std::vector<Library> libraries = {torch_library(), mpi_library(), hdf5_library()};
  for (Library& library : device_libraries()) libraries.push_back(std::move(library));
  std::vector<Finding> all;
  for (const Library& library : libraries) {
    Finding finding{.subject = library.name, .text = library.compiled, .cure = library.cure};
    if (!library.loaded.empty() && library.loaded != library.compiled)
      finding.text += fmt::format(" compiled, {} loaded", library.loaded);
    if (!library.fault.empty()) finding.verdict = Verdict::fault, finding.text = library.fault;
    for (const std::string& more : {library.note, library.file})
      if (!more.empty()) finding.text += (finding.text.empty() ? "" : ", ") + more;
    finding.values = {{"compiled", library.compiled}, {"loaded", library.loaded}, {"file", library.file}};
    all.push_back(std::move(finding));
  }
  return all;
}

}  // namespace polyhead
