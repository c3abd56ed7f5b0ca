// Converts tags of entities to BIO: B-X begins an entity of type X, I-X continues it, O is outside.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace polyhead {

// Converts the tags of a sentence from IOB1 (I-X begins an entity unless one of the same type ends right before it),
// IOBES (S-X, E-X) or BILOU (U-X, L-X) to BIO. Nothing changes unless every tag is O or has such a form. Returns the
// number of tags that changed.
std::size_t to_bio(std::vector<std::string>& tags);

}  // namespace polyhead
