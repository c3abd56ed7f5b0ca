// Tags of entities in other schemes to BIO: B-X begins an entity of type X, I-X continues it, O is outside.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace polyhead {

// Rewrites IOB1 (I-X begins an entity unless one of the same type ends right before it), IOBES (S-X, E-X) and BILOU
// (U-X, L-X) as BIO, where every tag of the sentence is O or of such a form; other tags stay. BIO stays as it is.
// Returns how many tags changed.
std::size_t to_bio(std::vector<std::string>& tags);

}  // namespace polyhead
