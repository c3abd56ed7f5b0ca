// The names of classes in the schema that Hugging Face's datasets library writes into a Parquet file.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace polyhead {

// Column -> names of 0, 1, …, for columns that are a ClassLabel, or a list of them. `schema` is the text under the key
// "huggingface" of the file's metadata; one that cannot be understood names nothing.
std::map<std::string, std::vector<std::string>> class_names(const std::string& schema);

}  // namespace polyhead
