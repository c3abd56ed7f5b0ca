// Names of classes, from the schema that Hugging Face's datasets library writes to a Parquet file.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace polyhead {

// Returns column -> names of 0, 1, …, for columns that are a ClassLabel or a list of them. schema: the text under the
// key "huggingface" in the file's metadata; empty if it cannot be read.
std::map<std::string, std::vector<std::string>> class_names(const std::string& schema);

}  // namespace polyhead
