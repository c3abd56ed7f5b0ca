// The only function that libpolyhead_parquet.so exports.
#pragma once

#include "datasets/reading/parquet.h"

namespace polyhead {

// The same as open_parquet(), but the caller owns the rows. Throws std::runtime_error with words that follow the file's
// name.
using OpenParquetRows = ParquetRows*(int descriptor, bool name_classes);

inline constexpr const char* kOpenParquetRows = "polyhead_open_parquet_rows";

}  // namespace polyhead
