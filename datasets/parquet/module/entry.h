// The one function that libpolyhead_parquet.so shows.
#pragma once

#include "datasets/parquet.h"

namespace polyhead {

// As open_parquet; the caller owns the rows. Throws std::runtime_error: words that follow the file's name.
using OpenParquetRows = ParquetRows*(int descriptor, bool name_classes);

inline constexpr const char* kOpenParquetRows = "polyhead_open_parquet_rows";

}  // namespace polyhead
