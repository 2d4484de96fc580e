// A stable sort of numbers that are not negative, by four bits of them after the other, from the
// last to the first: after each pass the numbers are in the order of all bits up to there.
//
//     count_digits     how often each digit is in each stretch of STRETCH numbers
//     place_by_digit   every number moves behind those of smaller digits, and behind those of its
//                      own digit that came before it
//
// In between the counts are scanned (scan.cu): they stand digit by digit, and in a digit stretch by
// stretch, so that the running sum is where the stretch's numbers of that digit end. One thread
// goes along a stretch, from its first number to its last; it needs no atomics, and equal numbers
// keep their order. Its sixteen counters are a column of shared memory that no other thread uses.
//
// With each number goes where it was at first: `order`.
//
// Source: Blelloch, "Prefix sums and their applications" (1990), section 1.3.
//
// compile: REAL=float ACC=float STRETCH=32
#ifndef STRETCH
#define STRETCH 32
#endif
#define DIGITS 16
#define BLOCK 256  // threads of a block

extern "C" __global__ void count_digits(const i64* __restrict__ keys, i32* __restrict__ counts,
                                        i64 stretches, i64 count, i32 shift) {
  __shared__ i32 cells[DIGITS][BLOCK];
  const i32 me = threadIdx.x;
  GRID_STRIDE(stretch, stretches) {
    for (i32 digit = 0; digit < DIGITS; ++digit) cells[digit][me] = 0;
    const i64 first = stretch * STRETCH;
    for (i64 i = first; i < first + STRETCH && i < count; ++i)
      ++cells[keys[i] >> shift & (DIGITS - 1)][me];
    for (i32 digit = 0; digit < DIGITS; ++digit)
      counts[digit * stretches + stretch] = cells[digit][me];
  }
}

extern "C" __global__ void place_by_digit(const i64* __restrict__ keys,
                                          const i32* __restrict__ order,
                                          const i32* __restrict__ ends, i64* __restrict__ new_keys,
                                          i32* __restrict__ new_order, i64 stretches, i64 count,
                                          i32 shift) {
  __shared__ i32 cells[DIGITS][BLOCK];
  const i32 me = threadIdx.x;
  GRID_STRIDE(stretch, stretches) {
    for (i32 digit = 0; digit < DIGITS; ++digit) {
      const i64 cell = digit * stretches + stretch;
      cells[digit][me] = cell > 0 ? ends[cell - 1] : 0;
    }
    const i64 first = stretch * STRETCH;
    for (i64 i = first; i < first + STRETCH && i < count; ++i) {
      const i64 key = keys[i];
      const i32 place = cells[key >> shift & (DIGITS - 1)][me]++;
      new_keys[place] = key;
      new_order[place] = order[i];
    }
  }
}
