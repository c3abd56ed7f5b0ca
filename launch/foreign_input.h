// Recognises input of predict that is not JSON Lines, and says how to convert it.
#pragma once

#include <string>
#include <string_view>

namespace polyhead {

// The input of a task: texts, lists of words (as in files in CoNLL format), or lists of vectors.
enum class InputKind { texts, words, vectors };

// Returns what the input is and the command that converts it, from its first line; "" if the line may be JSON.
// - name: of the file; "" for standard input.
std::string foreign_input(std::string_view line, const std::string& name, InputKind kind);

}  // namespace polyhead
