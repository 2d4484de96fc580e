// Running sums of whole numbers, in place:  values[i] <- values[0] + ... + values[i].
//
//     scan_tiles   each block does that to a tile of its own, and writes down the tile's sum
//     add_before   every number gets what the tiles in front of its own add up to
//
// The tiles' sums are scanned in the same way in between, so that any length is possible; see
// engine/cuda/sort.py. In a tile each thread first adds up its own EACH numbers; then log2(BLOCK)
// rounds give it the sum of all threads in front of it (Hillis and Steele, "Data parallel
// algorithms", 1986).
//
// compile: REAL=float ACC=float EACH=16
#ifndef EACH
#define EACH 16
#endif
#define BLOCK 256  // threads of a block

extern "C" __global__ void scan_tiles(i32* values, i32* sums, i64 count) {
  __shared__ i32 rounds[2][BLOCK];  // each round reads one and writes the other
  const i32 me = threadIdx.x;
  const i64 first = ((i64)blockIdx.x * BLOCK + me) * EACH;
  i32 sum = 0;
  for (i64 i = first; i < first + EACH && i < count; ++i) sum += values[i];
  i32 now = 0;
  rounds[now][me] = sum;
  for (i32 step = 1; step < BLOCK; step *= 2) {
    __syncthreads();
    const i32 more = me >= step ? rounds[now][me - step] : 0;
    rounds[1 - now][me] = rounds[now][me] + more;
    now = 1 - now;
  }
  i32 running = rounds[now][me] - sum;
  if (me == BLOCK - 1) sums[blockIdx.x] = rounds[now][me];
  for (i64 i = first; i < first + EACH && i < count; ++i) {
    running += values[i];
    values[i] = running;
  }
}

extern "C" __global__ void add_before(i32* values, const i32* __restrict__ sums, i64 count) {
  GRID_STRIDE(i, count) {
    const i64 tile = i / (BLOCK * EACH);
    if (tile > 0) values[i] += sums[tile - 1];
  }
}
