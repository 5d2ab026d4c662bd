#include "core/data/data_order.h"

#include "core/base/check.h"

namespace retort::data {
namespace {

constexpr int kRounds = 8;

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64
// bits in which each input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// One pass through a Feistel network on 2 * half_bits bits: a permutation
// for every key, whatever the round function.
uint64_t Feistel(uint64_t x, int half_bits, uint64_t key) {
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t left = x >> half_bits;
  uint64_t right = x & mask;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t next = left ^ (Mix(key ^ Mix(right << 4 | round)) & mask);
    left = right;
    right = next;
  }
  return left << half_bits | right;
}

// Half the bits of the smallest domain 4^k that holds `n` values.
int HalfBits(uint64_t n) {
  int half_bits = 1;
  while (half_bits < 31 && (uint64_t{1} << (2 * half_bits)) < n) ++half_bits;
  return half_bits;
}

}  // namespace

int64_t ShuffledIndex(uint64_t seed, int64_t position, int64_t dataset_size) {
  RETORT_CHECK(position >= 0 && dataset_size >= 1 &&
               dataset_size <= int64_t{1} << 62);
  const uint64_t n = dataset_size;
  const uint64_t epoch = static_cast<uint64_t>(position) / n;
  const uint64_t key = Mix(seed ^ Mix(epoch));
  const int half_bits = HalfBits(n);
  uint64_t index = static_cast<uint64_t>(position) % n;
  // Walking along the cycle from a value below n leads to one below n, and
  // each to its own: the walk restricts the permutation to [0, n).
  do {
    index = Feistel(index, half_bits, key);
  } while (index >= n);
  return static_cast<int64_t>(index);
}

}  // namespace retort::data
