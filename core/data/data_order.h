#ifndef RETORT_CORE_DATA_DATA_ORDER_H_
#define RETORT_CORE_DATA_DATA_ORDER_H_

#include <cstdint>

namespace retort::data {

// Returns the data set index that training visits at `position`: a pure
// function, so that a resumed run, and a run on another number of ranks,
// sees the same images. Positions [e n, (e+1) n), n = dataset_size, are epoch
// e and visit every index once, in an order that depends on (seed, e).
//
// The permutation is a keyed Feistel network on the smallest even number of
// bits that holds n, repeated ("cycle walking") until it lands below n:
// no table, no state, a few dozen nanoseconds.
//
// `position` >= 0, `dataset_size` >= 1.
int64_t ShuffledIndex(uint64_t seed, int64_t position, int64_t dataset_size);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_DATA_ORDER_H_
