// Replaces the reader of Parquet in a program that was built without Apache Arrow.
#include "datasets/reading/parquet.h"

#include "datasets/reading/byte_stream.h"
#include "datasets/reading/foreign_formats.h"

namespace polyhead {

std::unique_ptr<ParquetRows> open_parquet(int, const std::filesystem::path& name, bool) {
  throw BadStream(foreign_format("PAR1", name));
}

}  // namespace polyhead
