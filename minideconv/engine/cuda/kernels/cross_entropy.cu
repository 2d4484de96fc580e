// Cross entropy of scores that are stored channels last: each score is fetched once on the way
// forward, and once on the way back.
//
//     l = sum_c q_c (log sum_k e^(z_k) - z_c)      q_c = keep w[t] [c = t] + spread w_c
//     dl/dz_c = softmax(z)_c sum_k q_k - q_c
//
// Nothing as large as the scores is written on the way forward: the probabilities are made anew on
// the way back, which costs an exponential a score and no memory. Sums over pixels are double, and
// in a fixed order: thread, warp, block, and then one block for all.
//
// with: scores.cuh
// compile: REAL=float ACC=float LABEL=u8 LANES=1 PER=4
// compile: REAL=float ACC=float LABEL=u8 LANES=8 PER=3
// compile: REAL=float ACC=float LABEL=i64 LANES=32 PER=16
// compile: REAL=double ACC=double LABEL=i64 LANES=8 PER=3
// compile: REAL=double ACC=double LABEL=u8 LANES=32 PER=16
#define WARPS 8  // in a block

// The sum over the threads that share a pixel. Each of them gets it, with the same bits.
__device__ __forceinline__ REAL over_lanes(REAL value) {
  for (i32 step = LANES / 2; step > 0; step /= 2) value += __shfl_xor_sync(EVERY_LANE, value, step);
  return value;
}

// The sum over a block; `warps` is room for one number of each warp.
__device__ double over_block(double value, double* warps) {
  for (i32 step = WARP / 2; step > 0; step /= 2) value += __shfl_xor_sync(EVERY_LANE, value, step);
  __syncthreads();
  if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = value;
  __syncthreads();
  double total = 0;
  for (i32 warp = 0; warp < WARPS; ++warp) total += warps[warp];
  return total;
}

// One pixel's z - max z, their exponentials and the sum of these. A NaN, or a maximum that is
// infinite, makes the sum NaN: no probability is known then.
struct Shares {
  REAL z[PER], e[PER];
  REAL top, sum;
};

__device__ __forceinline__ Shares shares(const REAL* scores, i32 classes) {
  Shares s;
  fetch(scores, classes, s.z);
  s.top = s.z[0];
  MY_CLASSES(k, c, my_lane()) s.top = s.z[k] > s.top ? s.z[k] : s.top;
  for (i32 step = LANES / 2; step > 0; step /= 2) {
    const REAL other = __shfl_xor_sync(EVERY_LANE, s.top, step);
    s.top = other > s.top ? other : s.top;
  }
  s.sum = 0;
  MY_CLASSES(k, c, my_lane()) {
    s.z[k] -= s.top;
    s.e[k] = exp(s.z[k]);
    if (c < classes) s.sum += s.e[k];
  }
  s.sum = over_lanes(s.sum);
  return s;
}

// All threads go round equally often, because they meet in the sums; those behind the last pixel
// look at the first one, and count for nothing.
#define EACH_PIXEL(pixel, pixels)                                                           \
  const i64 groups = (i64)gridDim.x * blockDim.x / LANES;                                   \
  const i64 end = ((pixels) + groups - 1) / groups * groups;                                \
  for (i64 pixel = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / LANES; pixel < end;       \
       pixel += groups)

// `partial` gets two numbers of each block: the sum of the losses, and that of w[t].
extern "C" __global__ void cross_entropy(
    const REAL* __restrict__ logits, const LABEL* __restrict__ labels,
    const REAL* __restrict__ weight, i32 weighted, REAL keep, REAL spread, i64 ignored, u32* wrong,
    REAL* each, i32 wants_each, double* partial, i64 pixels, i32 classes) {
  __shared__ double warps[WARPS];
  double loss = 0, total = 0;
  EACH_PIXEL(pixel, pixels) {
    const bool inside = pixel < pixels;
    const REAL* scores = logits + (inside ? pixel : 0) * classes;
    const Shares s = shares(scores, classes);
    const i64 t = inside ? (i64)labels[pixel] : ignored;
    const bool counted = counts(t, ignored, classes);
    const REAL log_sum = log(s.sum);
    REAL value = 0, w = 0;
    if (counted) {
      w = weighted ? weight[t] : (REAL)1;
      value = keep * w * -(scores[t] - s.top - log_sum);
    }
    if (spread != 0) {
      REAL all = 0;
      MY_CLASSES(k, c, my_lane()) {
        if (c < classes) all += (weighted ? weight[c] : (REAL)1) * (s.z[k] - log_sum);
      }
      all = over_lanes(all);
      if (counted) value -= spread * all;
    }
    if (my_lane() == 0 && inside) {
      if (t != ignored && !counted) complain(t, wrong);
      if (wants_each) each[pixel] = value;
      loss += value;
      total += w;
    }
  }
  loss = over_block(loss, warps);
  total = over_block(total, warps);
  if (threadIdx.x == 0) {
    partial[2 * blockIdx.x] = loss;
    partial[2 * blockIdx.x + 1] = total;
  }
}

// One block: add up what the blocks found. A mean over nothing is 0 / 1.
extern "C" __global__ void cross_entropy_finish(
    const double* __restrict__ partial, i32 blocks, i32 mean, const REAL* __restrict__ weight,
    i32 weighted, i32 classes, u32* wrong, REAL* loss, REAL* divisor) {
  __shared__ double warps[WARPS];
  double sum = 0, total = 0;
  for (i32 block = threadIdx.x; block < blocks; block += blockDim.x) {
    sum += partial[2 * block];
    total += partial[2 * block + 1];
  }
  sum = over_block(sum, warps);
  total = over_block(total, warps);
  if (weighted) {
    for (i32 c = threadIdx.x; c < classes; c += blockDim.x) {
      const bool finite = weight[c] - weight[c] == 0;
      if (!finite || weight[c] < 0) atomicAdd(&wrong[WEIGHTS], 1u);
    }
  }
  if (threadIdx.x == 0) {
    const double by = mean && total != 0 ? total : 1;
    *divisor = (REAL)by;
    *loss = (REAL)(sum / by);
  }
}

// `dloss` is one number, or one a pixel if `each`.
extern "C" __global__ void cross_entropy_backward(
    const REAL* __restrict__ dloss, i32 each, const REAL* __restrict__ divisor,
    const REAL* __restrict__ logits, const LABEL* __restrict__ labels,
    const REAL* __restrict__ weight, i32 weighted, REAL keep, REAL spread, i64 ignored,
    REAL* __restrict__ dlogits, i64 pixels, i32 classes) {
  REAL weights = classes;  // sum_c w_c
  if (weighted && spread != 0) {
    weights = 0;
    for (i32 c = my_lane(); c < classes; c += LANES) weights += weight[c];
    weights = over_lanes(weights);
  }
  EACH_PIXEL(pixel, pixels) {
    const bool inside = pixel < pixels;
    const i64 first = (inside ? pixel : 0) * classes;
    const Shares s = shares(logits + first, classes);
    const i64 t = inside ? (i64)labels[pixel] : ignored;
    REAL on_target = 0, on_each = 0;
    if (counts(t, ignored, classes)) {
      const REAL g = dloss[each ? pixel : 0] / *divisor;
      on_target = keep * (weighted ? weight[t] : (REAL)1) * g;
      on_each = spread * g;
    }
    const REAL factor = (on_target + weights * on_each) / s.sum;
    MY_CLASSES(k, c, my_lane()) {
      if (c < classes && inside) {
        REAL q = c == t ? on_target : (REAL)0;
        if (spread != 0) q += (weighted ? weight[c] : (REAL)1) * on_each;
        dlogits[first + c] = s.e[k] * factor - q;
      }
    }
  }
}
