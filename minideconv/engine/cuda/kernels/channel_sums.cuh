// Sums over all pixels, one for each channel, in two steps and always in the same order.
//
// First every block adds up its share, each thread its own rows, then the threads of a column in a
// tree; the block's part goes to memory. A second, small kernel adds the parts. Their number follows
// from the shape of the array, whatever the GPU, so the result has the same bits anywhere.
//
// Sums are double: a few numbers are added up as REAL, and these sums as double. A GPU for games is
// slow in double, but not when that happens once for several numbers that come from memory.
#define THREADS 256

// Add the rows of a block: scratch[k][y][x] -> scratch[k][0][x], read by the threads with y = 0.
__device__ __forceinline__ void add_rows(double* scratch, i32 count) {
  const i32 width = (i32)blockDim.x, height = (i32)blockDim.y, y = (i32)threadIdx.y;
  double* mine = scratch + y * width + (i32)threadIdx.x;
  i32 span = 1;
  while (span < height) span *= 2;
  for (span /= 2; span > 0; span /= 2) {
    __syncthreads();
    if (y < span && y + span < height)
      for (i32 k = 0; k < count; ++k) mine[k * THREADS] += mine[k * THREADS + span * width];
  }
}

// Write the block's part, from what each thread has added up for its columns (pixels.cuh):
// own[k][j] -> totals[k][part][column].
template <i32 COUNT>
__device__ __forceinline__ void write_part(const double (&own)[COUNT][VECTOR], double* scratch,
                                           double* totals, i32 columns) {
  const i32 mine = (i32)(threadIdx.y * blockDim.x + threadIdx.x), column = my_column();
#pragma unroll
  for (i32 k = 0; k < COUNT; ++k)
#pragma unroll
    for (i32 j = 0; j < VECTOR; ++j) scratch[(k * VECTOR + j) * THREADS + mine] = own[k][j];
  add_rows(scratch, COUNT * VECTOR);
  if (threadIdx.y != 0 || column >= columns) return;
#pragma unroll
  for (i32 k = 0; k < COUNT; ++k)
#pragma unroll
    for (i32 j = 0; j < VECTOR; ++j)
      totals[((i64)k * gridDim.x + blockIdx.x) * columns + column + j] =
          scratch[(k * VECTOR + j) * THREADS + mine];
}

// Add the parts of one channel, totals[k][part][channel] -> sum[k]. A block is 8 channels wide;
// returns the channel whose sums this thread now holds, or -1.
template <i32 COUNT>
__device__ __forceinline__ i32 add_parts(const double* totals, i32 parts, i32 channels,
                                         double* scratch, double (&sum)[COUNT]) {
  const i32 channel = (i32)(blockIdx.x * blockDim.x + threadIdx.x);
  const i32 mine = (i32)(threadIdx.y * blockDim.x + threadIdx.x);
#pragma unroll
  for (i32 k = 0; k < COUNT; ++k) {
    double s = 0;
    if (channel < channels) {
      const double* column = totals + (i64)k * parts * channels + channel;
#pragma unroll 4
      for (i32 part = (i32)threadIdx.y; part < parts; part += (i32)blockDim.y)
        s += column[(i64)part * channels];
    }
    scratch[k * THREADS + mine] = s;
  }
  add_rows(scratch, COUNT);
  if (threadIdx.y != 0 || channel >= channels) return -1;
#pragma unroll
  for (i32 k = 0; k < COUNT; ++k) sum[k] = scratch[k * THREADS + mine];
  return channel;
}
