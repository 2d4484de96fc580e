// Batch normalisation, ReLU and max pooling with windows of 2x2 that tile the plane, in one:
//
//     normalize_relu_pool   read x, write maxima and taps
//     gradient_sums         read maxima's gradients, taps and x: sums of g and of g (x - shift)
//     gradient              read the same, write dx
//
// g is the gradient put back to the pixel that it belongs to, where the ReLU let that pass. Neither
// the normalised map nor the map of g is ever in memory, each of them as large as x: a thread has
// the four pixels of a window in registers. Sums are as in batch_norm.cu, taps as in pooling.cu.
//
// with: pixels.cuh
// with: channel_sums.cuh
// with: channel_line.cuh
// compile: REAL=float ACC=float VECTOR=1
// compile: REAL=float ACC=float VECTOR=4
// compile: REAL=double ACC=double VECTOR=1
// compile: REAL=double ACC=double VECTOR=2

// Position of pixel `tap` of a window; of its neighbour where an odd edge leaves it out.
__device__ __forceinline__ i64 pixel_at(const Place& at, i32 tap, i32 h, i32 w, i32 c) {
  const i32 row = min(2 * at.row + tap / 2, h - 1), column = min(2 * at.column + tap % 2, w - 1);
  return ((i64)(at.image * h + row) * w + column) * c;
}

extern "C" __global__ void __launch_bounds__(256, 3)
    normalize_relu_pool(const REAL* __restrict__ x, const double* __restrict__ mean,
                        const double* __restrict__ inv_std, const REAL* __restrict__ weight,
                        const REAL* __restrict__ bias, i32 flags, REAL* __restrict__ y,
                        u8* __restrict__ taps, i64 windows, i32 h, i32 w, i32 c) {
  const i32 column = my_column();
  if (column >= c) return;
  const Line line = line_at(column, c, mean, inv_std, weight, bias, flags);
  EACH_ROW(number, windows) {
    const Place at = place_of(number, h / 2, w / 2);
    Piece pixel[4];
#pragma unroll
    for (i32 t = 0; t < 4; ++t) pixel[t] = load(x, pixel_at(at, t, h, w, c) + column);
    Piece best;
    Taps tap;
#pragma unroll
    for (i32 k = 0; k < VECTOR; ++k) {
      best.at[k] = rectified(on_line(line, k, pixel[0].at[k]));
      tap.at[k] = 0;
#pragma unroll
      for (i32 t = 1; t < 4; ++t) {
        const REAL z = rectified(on_line(line, k, pixel[t].at[k]));
        if (z > best.at[k] || z != z) {
          best.at[k] = z;
          tap.at[k] = (u8)t;
        }
      }
    }
    store(y, number * c + column, best);
    *reinterpret_cast<Taps*>(taps + number * c + column) = tap;
  }
}

extern "C" __global__ void __launch_bounds__(256, 3)
    gradient_sums(const REAL* __restrict__ dy, const u8* __restrict__ taps,
                  const REAL* __restrict__ x, const double* __restrict__ mean,
                  const double* __restrict__ inv_std, const REAL* __restrict__ weight,
                  const REAL* __restrict__ bias, i32 flags, double* __restrict__ totals,
                  i64 windows, i32 h, i32 w, i32 c) {
  __shared__ double scratch[2 * VECTOR * THREADS];
  const i32 column = my_column();
  double own[2][VECTOR] = {};
  if (column < c) {
    const Line line = line_at(column, c, mean, inv_std, weight, bias, flags);
    EACH_ROW(number, windows) {
      const Place at = place_of(number, h / 2, w / 2);
      Piece pixel[4];
#pragma unroll
      for (i32 t = 0; t < 4; ++t) pixel[t] = load(x, pixel_at(at, t, h, w, c) + column);
      const Piece above = load(dy, number * c + column);
      const Taps tap = *reinterpret_cast<const Taps*>(taps + number * c + column);
#pragma unroll
      for (i32 k = 0; k < VECTOR; ++k) {
        const bool right = tap.at[k] & 1, lower = tap.at[k] & 2;  // no array, it would be memory
        const REAL upper = right ? pixel[1].at[k] : pixel[0].at[k];
        const REAL below = lower ? (right ? pixel[3].at[k] : pixel[2].at[k]) : upper;
        const REAL g = passed(line, k, below, above.at[k], flags);
        own[0][k] += (double)g;
        own[1][k] += (double)(g * (below - line.shift[k]));
      }
    }
  }
  write_part<2>(own, scratch, totals, c);
}

// Tiles at an odd edge have pixels but no window: their g is 0, their dx is not.
extern "C" __global__ void __launch_bounds__(256, 2)
    gradient(const REAL* __restrict__ dy, const u8* __restrict__ taps, const REAL* __restrict__ x,
             const double* __restrict__ mean, const double* __restrict__ inv_std,
             const REAL* __restrict__ weight, const REAL* __restrict__ bias, i32 flags,
             const double* __restrict__ dweight, const double* __restrict__ dbias, double count,
             i32 training, REAL* __restrict__ dx, i64 tiles, i32 h, i32 w, i32 c) {
  const i32 column = my_column(), ho = h / 2, wo = w / 2;
  if (column >= c) return;
  const Line line = line_at(column, c, mean, inv_std, weight, bias, flags);
  const Slope slope = slope_at(column, c, mean, inv_std, dweight, dbias, count);
  EACH_ROW(number, tiles) {
    const Place at = place_of(number, (h + 1) / 2, (w + 1) / 2);
    Piece pixel[4], above = {};
    Taps tap = {};
#pragma unroll
    for (i32 t = 0; t < 4; ++t) pixel[t] = load(x, pixel_at(at, t, h, w, c) + column);
    if (at.row < ho && at.column < wo) {
      const i64 from = ((i64)(at.image * ho + at.row) * wo + at.column) * c + column;
      above = load(dy, from);
      tap = *reinterpret_cast<const Taps*>(taps + from);
    }
#pragma unroll
    for (i32 t = 0; t < 4; ++t) {
#pragma unroll
      for (i32 k = 0; k < VECTOR; ++k) {
        const REAL below = pixel[t].at[k];
        const REAL g = tap.at[k] == t ? passed(line, k, below, above.at[k], flags) : (REAL)0;
        pixel[t].at[k] = gradient_of(line, slope, k, below, g, training);
      }
      if (2 * at.row + t / 2 < h && 2 * at.column + t % 2 < w)
        store(dx, pixel_at(at, t, h, w, c) + column, pixel[t]);
    }
  }
}
