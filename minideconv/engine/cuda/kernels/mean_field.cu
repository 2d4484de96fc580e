// One update of a dense CRF's mean field: of each pixel, stored with its labels side by side,
//
//     q = softmax(log_p + first + second)
//
// LANES threads share a pixel, with PER of its labels each in registers: every number is read once
// and written once. `messages` says how many of `first` and `second` count.
//
// with: scores.cuh
// compile: REAL=float ACC=float LANES=1 PER=4
// compile: REAL=float ACC=float LANES=8 PER=3
// compile: REAL=float ACC=float LANES=32 PER=16
// compile: REAL=double ACC=double LANES=8 PER=3

extern "C" __global__ void mean_field(const REAL* __restrict__ log_p,
                                      const REAL* __restrict__ first,
                                      const REAL* __restrict__ second, REAL* __restrict__ q,
                                      i32 messages, i64 pixels, i32 labels) {
  // All threads go round equally often, because they meet in the sums; those behind the last pixel
  // look at the first one, and write nothing.
  const i64 groups = (i64)gridDim.x * blockDim.x / LANES;
  const i64 end = (pixels + groups - 1) / groups * groups;
  for (i64 pixel = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / LANES; pixel < end;
       pixel += groups) {
    const bool inside = pixel < pixels;
    const i64 row = (inside ? pixel : 0) * labels;
    REAL z[PER], top, sum = 0;
    fetch(log_p + row, labels, z);
    MY_CLASSES(k, c, my_lane()) {
      const i64 i = row + (c < labels ? c : 0);
      if (messages > 0) z[k] += first[i];
      if (messages > 1) z[k] += second[i];
    }
    top = z[0];
    MY_CLASSES(k, c, my_lane()) top = z[k] > top ? z[k] : top;
    for (i32 step = LANES / 2; step > 0; step /= 2) {
      const REAL other = __shfl_xor_sync(EVERY_LANE, top, step);
      top = other > top ? other : top;
    }
    MY_CLASSES(k, c, my_lane()) {
      z[k] = exp(z[k] - top);
      if (c < labels) sum += z[k];
    }
    for (i32 step = LANES / 2; step > 0; step /= 2)
      sum += __shfl_xor_sync(EVERY_LANE, sum, step);
    MY_CLASSES(k, c, my_lane()) {
      if (c < labels && inside) q[row + c] = z[k] / sum;
    }
  }
}
