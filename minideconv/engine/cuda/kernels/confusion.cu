// From scores to counts of (true class, predicted class), without the predictions in between.
//
//     counts[t, argmax_c z_c] += 1        for every pixel whose label t is a class
//
// The counts are integers, so that atomic additions give the same result in any order. Two things
// keep them apart: a block counts in shared memory and adds to the matrix once, where the matrix is
// small enough; and a warp walks along a stretch of neighbouring pixels, most of which fall into the
// cell of the one before and are counted in a register.
//
// with: scores.cuh
// compile: REAL=float ACC=float LABEL=u8 LANES=1
// compile: REAL=float ACC=float LABEL=u8 LANES=8
// compile: REAL=float ACC=float LABEL=i64 LANES=32
// compile: REAL=double ACC=double LABEL=i64 LANES=8

// Whether score a of class i wins over b of class j: the larger, or else the first. A NaN is larger
// than all, as NumPy's argmax has it.
__device__ __forceinline__ bool wins(REAL a, i32 i, REAL b, i32 j) {
  if (a != a) return b == b || i < j;
  return a > b || (a == b && i < j);
}

// The class with the largest score. Every thread that shares the pixel gets it.
__device__ __forceinline__ i32 argmax(const REAL* scores, i32 classes) {
  i32 best = my_lane() < classes ? my_lane() : 0;
  REAL top = scores[best];
#pragma unroll 4
  for (i32 c = my_lane() + LANES; c < classes; c += LANES) {
    if (wins(scores[c], c, top, best)) {
      top = scores[c];
      best = c;
    }
  }
  for (i32 step = LANES / 2; step > 0; step /= 2) {
    const REAL other = __shfl_xor_sync(EVERY_LANE, top, step);
    const i32 its = __shfl_xor_sync(EVERY_LANE, best, step);
    if (wins(other, its, top, best)) {
      top = other;
      best = its;
    }
  }
  return best;
}

// (classes, classes) cells are counted in shared memory if `shared`, else in `matrix` directly.
extern "C" __global__ void confusion(const REAL* __restrict__ scores,
                                     const LABEL* __restrict__ truth, i64 ignored, u32* wrong,
                                     i64* matrix, i32 shared, i64 pixels, i32 classes) {
  DYN_SHARED(u32, cells);
  unsigned long long* total = (unsigned long long*)matrix;  // for which there is an atomicAdd
  const i32 size = classes * classes;
  if (shared) {
    for (i32 cell = threadIdx.x; cell < size; cell += blockDim.x) cells[cell] = 0;
    __syncthreads();
  }
  const i64 beside = WARP / LANES;  // pixels that a warp looks at together
  const i64 warp = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
  const i64 warps = (i64)gridDim.x * blockDim.x / WARP;
  const i64 rounds = (pixels + warps * beside - 1) / (warps * beside);
  i64 pixel = warp * rounds * beside + threadIdx.x % WARP / LANES;
  i32 last = 0;  // the cell of the pixel before
  u32 run = 0;   // and how many there were of it
  for (i64 round = 0; round < rounds; ++round, pixel += beside) {
    const bool inside = pixel < pixels;
    const i32 best = argmax(scores + (inside ? pixel : 0) * classes, classes);
    if (my_lane() != 0 || !inside) continue;
    const i64 t = truth[pixel];
    if (!counts(t, ignored, classes)) {
      if (t != ignored) complain(t, wrong);
      continue;
    }
    const i32 cell = (i32)t * classes + best;
    if (cell != last && run > 0) {
      if (shared) atomicAdd(&cells[last], run);
      else atomicAdd(&total[last], (unsigned long long)run);
      run = 0;
    }
    last = cell;
    ++run;
  }
  if (run > 0) {
    if (shared) atomicAdd(&cells[last], run);
    else atomicAdd(&total[last], (unsigned long long)run);
  }
  if (shared) {
    __syncthreads();
    for (i32 cell = threadIdx.x; cell < size; cell += blockDim.x)
      if (cells[cell] > 0) atomicAdd(&total[cell], (unsigned long long)cells[cell]);
  }
}
