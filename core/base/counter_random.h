// A counter-based random number generator. A number is a pure function of its key and counter, so it depends neither on
// the worker that draws it nor on the order of draws. The mixer is splitmix64's finaliser (Steele, Lea and Flood,
// 2014).
#pragma once

#include <cstdint>

namespace polyhead {

constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Returns a key for a stream of draws, from a parent key and a number that identifies the stream (a task's hash, a
// position, a layer).
constexpr std::uint64_t derive(std::uint64_t key, std::uint64_t what) {
  return mix64(key ^ mix64(what));
}

// Returns number `counter` of a key, uniform over 64 bits.
constexpr std::uint64_t draw(std::uint64_t key, std::uint64_t counter) {
  return derive(key, counter);
}

// Uniform over 0..n-1, from the upper 32 bits by multiplication. n < 2^32; the bias is below n / 2^32.
constexpr std::uint32_t bounded(std::uint64_t random, std::uint32_t n) {
  return static_cast<std::uint32_t>(((random >> 32) * n) >> 32);
}

// Uniform over [0, 1), with 53 bits.
constexpr double unit(std::uint64_t random) {
  return static_cast<double>(random >> 11) * 0x1.0p-53;
}

}  // namespace polyhead
