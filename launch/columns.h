// Reads the option that names the parts of a sample in a file, for import and predict.
#pragma once

#include <map>
#include <span>
#include <string>

#include "datasets/reading/field_names.h"
#include "launch/options.h"

namespace polyhead {

// Converts "text:sentence, second:sentence2" to part -> name in the file; a name alone stands for itself. Throws
// Error(config), or Error(usage) for an option of the command line only: for an unknown part, a part that is given
// twice, and a part that is not in `useful`. unused: why those have no effect, such as "tagging does not read it".
std::map<std::string, std::string> names_of_parts(const Config& config, const std::string& key,
                                                  std::span<const std::string_view> useful, const std::string& unused);

}  // namespace polyhead
