// What walks over all gradients between backward and step: dividing by a loss scale, and clipping
// to a norm. The host waits for no result: what one kernel finds, the next one reads.
//
// The norm is deterministic: each thread adds its own numbers in order, each block its threads in a
// tree, and every block of `clip` the blocks of `squares` in one and the same order. The squares are
// double, which neither overflow nor lose small ones beside large ones.
//
// with: packs.cuh
// compile: REAL=float ACC=float
// compile: REAL=double ACC=double
#define THREADS 256

template <typename Real>
__device__ __forceinline__ bool is_finite(Real x) {
  return x - x == 0;  // inf - inf is NaN
}

// Multiply all of `grad`; return whether what this thread wrote is finite.
__device__ __forceinline__ bool multiply(REAL* grad, i64 count, REAL factor) {
  bool good = true;
  const i64 packs = packs_in(count, address(grad)), done = packs * LANES;
  GRID_STRIDE(i, packs) {
    Pack g = ((const Pack*)grad)[i];
#pragma unroll
    for (i32 j = 0; j < LANES; ++j) {
      g.at[j] *= factor;
      good = good && is_finite(g.at[j]);
    }
    ((Pack*)grad)[i] = g;
  }
  GRID_STRIDE(i, count - done) {
    const REAL g = grad[done + i] * factor;
    grad[done + i] = g;
    good = good && is_finite(g);
  }
  return good;
}

// Divide by the loss scale. Threads that meet an infinity or a NaN all write the same 1.
extern "C" __global__ void unscale(REAL* grad, i64 count, const float* scale, float* skip) {
  if (!multiply(grad, count, 1 / (REAL)scale[0])) skip[0] = 1;
}

// Behind a step: a smaller scale if it was left out, a larger one after `interval` good ones.
// state: the scale, and the good steps since it last changed.
extern "C" __global__ void update_scale(float* state, float* skip, i32 count_skips, double growth,
                                        double backoff, float interval) {
  if (blockIdx.x * blockDim.x + threadIdx.x > 0) return;
  const bool found = skip[0] != 0;
  const float good = found ? 0 : state[1] + 1, grown = (float)(state[0] * growth);
  if (found) state[0] = (float)(state[0] * backoff);
  if (good == interval && is_finite(grown)) state[0] = grown;
  state[1] = good == interval ? 0 : good;
  if (count_skips) skip[1] += found;
  skip[0] = 0;
}

// The sum over a block, for all its threads.
__device__ __forceinline__ double block_sum(double own) {
  __shared__ double sums[THREADS];
  sums[threadIdx.x] = own;
  for (i32 half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if ((i32)threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[0];
}

// parts[b]: the sum of squares of what block b has seen.
extern "C" __global__ void squares(const REAL* grad, i64 count, double* parts) {
  double own = 0;
  const i64 packs = packs_in(count, address(grad)), done = packs * LANES;
  GRID_STRIDE(i, packs) {
    const Pack g = ((const Pack*)grad)[i];
#pragma unroll
    for (i32 j = 0; j < LANES; ++j) own += (double)g.at[j] * (double)g.at[j];
  }
  GRID_STRIDE(i, count - done) own += (double)grad[done + i] * (double)grad[done + i];
  const double sum = block_sum(own);
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// Scale `grad` so that the norm is at most `most`; leave it alone if the norm is small or unknown.
extern "C" __global__ void clip(REAL* grad, i64 count, const double* parts, i32 blocks, double most,
                                double* norm) {
  double own = 0;
  for (i32 i = threadIdx.x; i < blocks; i += THREADS) own += parts[i];
  const double sum = block_sum(own);
  const double found = is_finite(sum) ? sqrt(sum) : sum - sum;  // or NaN
  if (blockIdx.x == 0 && threadIdx.x == 0) norm[0] = found;
  if (found > most) multiply(grad, count, (REAL)(most / (found + 1e-6)));
}
