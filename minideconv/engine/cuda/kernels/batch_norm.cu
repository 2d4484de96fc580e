// Batch normalisation, with or without a ReLU behind it, in as few walks over memory as it takes:
//
//     moments          read x: sums of d = x - shift and of d squared
//     normalize        read x, write y
//     gradient_sums    read dy and x: sums of g and of g (x - shift)
//     gradient         read dy and x, write dx
//     sums             read x: sums (the gradient of a convolution's bias)
//
// All of them do ten operations with a number that took the GPU the time of thirty to fetch, so
// walks are what counts; batch_norm_finish.cu has the small kernels in between.
//
// The variance does not change when a constant is subtracted from x, and E[d^2] - E[d]^2 loses no
// digits if the constant is near the mean. Every thread takes the first value that it sees. It adds
// four values as REAL, and these sums as double. At the end it moves them to the channel's first
// value x0, in double. That is safe: x0 is one of the M values, so that (x0 - mean)^2 <= M var, and
// a double has digits for an M of a hundred million and more.
//
// Source: Ioffe, Szegedy, "Batch normalization" (2015), algorithm 1 and section 3; Chan, Golub,
// LeVeque, "Algorithms for computing the sample variance" (1983), section 3.
//
// with: pixels.cuh
// with: channel_sums.cuh
// with: channel_line.cuh
// compile: REAL=float ACC=float VECTOR=1
// compile: REAL=float ACC=float VECTOR=4
// compile: REAL=double ACC=double VECTOR=1
// compile: REAL=double ACC=double VECTOR=2
#define TOGETHER 4

extern "C" __global__ void __launch_bounds__(256, 4)
    moments(const REAL* __restrict__ x, double* __restrict__ totals, i64 rows, i32 columns,
            i32 channels) {
  __shared__ double scratch[2 * VECTOR * THREADS];
  const i32 column = my_column();
  const i64 step = (i64)gridDim.x * blockDim.y;
  const i64 begin = (i64)blockIdx.x * blockDim.y + threadIdx.y;
  double own[2][VECTOR] = {};
  if (column < columns && begin < rows) {
    const Piece shift = load(x, begin * columns + column);
    i64 row = begin;
    for (; row + (TOGETHER - 1) * step < rows; row += TOGETHER * step) {
      Piece piece[TOGETHER];
#pragma unroll
      for (i32 u = 0; u < TOGETHER; ++u) piece[u] = load(x, (row + u * step) * columns + column);
#pragma unroll
      for (i32 j = 0; j < VECTOR; ++j) {
        REAL sum = 0, square = 0;
#pragma unroll
        for (i32 u = 0; u < TOGETHER; ++u) {
          const REAL d = piece[u].at[j] - shift.at[j];
          sum += d;
          square += d * d;
        }
        own[0][j] += (double)sum;
        own[1][j] += (double)square;
      }
    }
    for (; row < rows; row += step) {
      const Piece piece = load(x, row * columns + column);
#pragma unroll
      for (i32 j = 0; j < VECTOR; ++j) {
        const REAL d = piece.at[j] - shift.at[j];
        own[0][j] += (double)d;
        own[1][j] += (double)(d * d);
      }
    }
    const double count = (double)((rows - begin + step - 1) / step);
#pragma unroll
    for (i32 j = 0; j < VECTOR; ++j) {  // d + t instead of d
      const double t = (double)shift.at[j] - (double)x[(column + j) % channels];
      own[1][j] += t * (2 * own[0][j] + count * t);
      own[0][j] += count * t;
    }
  }
  write_part<2>(own, scratch, totals, columns);
}

extern "C" __global__ void __launch_bounds__(256, 4)
    sums(const REAL* __restrict__ x, double* __restrict__ totals, i64 rows, i32 columns) {
  __shared__ double scratch[VECTOR * THREADS];
  const i32 column = my_column();
  const i64 step = (i64)gridDim.x * blockDim.y;
  double own[1][VECTOR] = {};
  if (column < columns) {
    i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y;
    for (; row + (TOGETHER - 1) * step < rows; row += TOGETHER * step) {
      Piece piece[TOGETHER];
#pragma unroll
      for (i32 u = 0; u < TOGETHER; ++u) piece[u] = load(x, (row + u * step) * columns + column);
#pragma unroll
      for (i32 j = 0; j < VECTOR; ++j) {
        REAL sum = 0;
#pragma unroll
        for (i32 u = 0; u < TOGETHER; ++u) sum += piece[u].at[j];
        own[0][j] += (double)sum;
      }
    }
    for (; row < rows; row += step) {
      const Piece piece = load(x, row * columns + column);
#pragma unroll
      for (i32 j = 0; j < VECTOR; ++j) own[0][j] += (double)piece.at[j];
    }
  }
  write_part<1>(own, scratch, totals, columns);
}

extern "C" __global__ void __launch_bounds__(256, 4)
    normalize(const REAL* __restrict__ x, const double* __restrict__ mean,
              const double* __restrict__ inv_std, const REAL* __restrict__ weight,
              const REAL* __restrict__ bias, i32 flags, REAL* __restrict__ y, i64 rows,
              i32 columns, i32 channels) {
  const i32 column = my_column();
  if (column >= columns) return;
  const Line line = line_at(column, channels, mean, inv_std, weight, bias, flags);
#pragma unroll 4
  EACH_ROW(row, rows) {
    Piece piece = load(x, row * columns + column);
#pragma unroll
    for (i32 j = 0; j < VECTOR; ++j) {
      const REAL z = on_line(line, j, piece.at[j]);
      piece.at[j] = flags & 4 ? rectified(z) : z;
    }
    store(y, row * columns + column, piece);
  }
}

extern "C" __global__ void __launch_bounds__(256, 3)
    gradient_sums(const REAL* __restrict__ dy, const REAL* __restrict__ x,
                  const double* __restrict__ mean, const double* __restrict__ inv_std,
                  const REAL* __restrict__ weight, const REAL* __restrict__ bias, i32 flags,
                  double* __restrict__ totals, i64 rows, i32 columns, i32 channels) {
  __shared__ double scratch[2 * VECTOR * THREADS];
  const i32 column = my_column();
  const i64 step = (i64)gridDim.x * blockDim.y;
  double own[2][VECTOR] = {};
  if (column < columns) {
    const Line line = line_at(column, channels, mean, inv_std, weight, bias, flags);
    i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y;
    for (; row + (TOGETHER - 1) * step < rows; row += TOGETHER * step) {
      Piece above[TOGETHER], below[TOGETHER];
#pragma unroll
      for (i32 u = 0; u < TOGETHER; ++u) {
        above[u] = load(dy, (row + u * step) * columns + column);
        below[u] = load(x, (row + u * step) * columns + column);
      }
#pragma unroll
      for (i32 j = 0; j < VECTOR; ++j) {
        REAL sum = 0, product = 0;
#pragma unroll
        for (i32 u = 0; u < TOGETHER; ++u) {
          const REAL g = passed(line, j, below[u].at[j], above[u].at[j], flags);
          sum += g;
          product += g * (below[u].at[j] - line.shift[j]);
        }
        own[0][j] += (double)sum;
        own[1][j] += (double)product;
      }
    }
    for (; row < rows; row += step) {
      const Piece above = load(dy, row * columns + column);
      const Piece below = load(x, row * columns + column);
#pragma unroll
      for (i32 j = 0; j < VECTOR; ++j) {
        const REAL g = passed(line, j, below.at[j], above.at[j], flags);
        own[0][j] += (double)g;
        own[1][j] += (double)(g * (below.at[j] - line.shift[j]));
      }
    }
  }
  write_part<2>(own, scratch, totals, columns);
}

extern "C" __global__ void __launch_bounds__(256, 3)
    gradient(const REAL* __restrict__ dy, const REAL* __restrict__ x,
             const double* __restrict__ mean, const double* __restrict__ inv_std,
             const REAL* __restrict__ weight, const REAL* __restrict__ bias, i32 flags,
             const double* __restrict__ dweight, const double* __restrict__ dbias, double count,
             i32 training, REAL* __restrict__ dx, i64 rows, i32 columns, i32 channels) {
  const i32 column = my_column();
  if (column >= columns) return;
  const Line line = line_at(column, channels, mean, inv_std, weight, bias, flags);
  const Slope slope = slope_at(column, channels, mean, inv_std, dweight, dbias, count);
#pragma unroll 4
  EACH_ROW(row, rows) {
    Piece piece = load(dy, row * columns + column);
    const Piece below = load(x, row * columns + column);
#pragma unroll
    for (i32 j = 0; j < VECTOR; ++j) {
      const REAL g = passed(line, j, below.at[j], piece.at[j], flags);
      piece.at[j] = gradient_of(line, slope, j, below.at[j], g, training);
    }
    store(dx, row * columns + column, piece);
  }
}
