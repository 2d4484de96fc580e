// Max pooling, unpooling and their backward passes, images channels last:
//
//     pool           read x, write every window's maximum and the tap that it was found at
//     scatter_tiles  read values and taps, write the plane: where windows tile it, tile by tile
//     scatter        the same for windows of any kind, pixel by pixel
//     gather         read the plane at every window's tap
//
// A tap is one byte, a quarter of a float. A plane is written once, zeros and values together, by
// threads that own its pixels and find their values: nothing is cleared before, and never
// do two threads meet at a pixel, so that the sums of windows that overlap have one order, that of
// the taps.
//
// Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks" (2014), section
// 2.1; Noh, Hong, Han, "Learning deconvolution network for semantic segmentation" (2015), 3.2.1.
//
// with: pixels.cuh
// compile: REAL=float ACC=float VECTOR=1
// compile: REAL=float ACC=float VECTOR=4
// compile: REAL=double ACC=double VECTOR=1
// compile: REAL=double ACC=double VECTOR=2

// Windows of kh x kw taps on planes of h x w pixels, which stop at ho x wo places.
struct Window {
  i32 h, w, c, ho, wo, kh, kw, sh, sw, ph, pw, dh, dw;
};
__device__ __forceinline__ bool inside(i32 i, i32 count) { return (u32)i < (u32)count; }

__device__ __forceinline__ i64 pixel_at(const Window& g, i32 image, i32 row, i32 column) {
  return ((i64)(image * g.h + row) * g.w + column) * g.c;
}

// The functions below take the size of small windows, (KH, KW), as the compiler's: their loops are
// unrolled, and all loads begin before the first is waited for. 0 is any size.

// The first maximum in row-major order; of several NaN the last. Padding is never a maximum: what
// is fetched in its place, a pixel at the edge, is not looked at.
template <i32 KH, i32 KW>
__device__ __forceinline__ void best_of(const Window& g, const REAL* x, const Place& at,
                                        i32 column, Piece& best, Taps& taps) {
  const i32 kh = KH ? KH : g.kh, kw = KW ? KW : g.kw;
  const i32 top = at.row * g.sh - g.ph, left = at.column * g.sw - g.pw;
  const i32 upper = top < 0 ? (g.dh - 1 - top) / g.dh : 0;
  const i32 first = upper * kw + (left < 0 ? (g.dw - 1 - left) / g.dw : 0);
#pragma unroll
  for (i32 i = 0; i < kh; ++i) {
    const i32 row = top + i * g.dh;
#pragma unroll
    for (i32 j = 0; j < kw; ++j) {
      const i32 place = left + j * g.dw, tap = i * kw + j;
      const bool real = inside(row, g.h) && inside(place, g.w);
      const Piece pixel = load(x, pixel_at(g, at.image, min(max(row, 0), g.h - 1),
                                           min(max(place, 0), g.w - 1)) + column);
#pragma unroll
      for (i32 k = 0; k < VECTOR; ++k) {
        const REAL v = pixel.at[k];
        if (real && (tap == first || v > best.at[k] || v != v)) {
          best.at[k] = v;
          taps.at[k] = (u8)tap;
        }
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__(256, 4)
    pool(const REAL* __restrict__ x, REAL* __restrict__ y, u8* __restrict__ taps, i64 windows,
         i32 h, i32 w, i32 c, i32 ho, i32 wo, i32 kh, i32 kw, i32 sh, i32 sw, i32 ph,
         i32 pw, i32 dh, i32 dw) {
  const Window g = {h, w, c, ho, wo, kh, kw, sh, sw, ph, pw, dh, dw};
  const i32 column = my_column();
  if (column >= c) return;
  EACH_ROW(number, windows) {
    const Place at = place_of(number, ho, wo);
    Piece best = {};
    Taps tap = {};
    if (kh == 2 && kw == 2) best_of<2, 2>(g, x, at, column, best, tap);
    else if (kh == 3 && kw == 3) best_of<3, 3>(g, x, at, column, best, tap);
    else best_of<0, 0>(g, x, at, column, best, tap);
    store(y, number * c + column, best);
    *reinterpret_cast<Taps*>(taps + number * c + column) = tap;
  }
}

// Write the pixels of one tile: the value at its tap and zeros. Behind the last window, tiles
// without a window are written too.
template <i32 KH, i32 KW>
__device__ __forceinline__ void write_tile(const Window& g, const REAL* values, const u8* taps,
                                           const Place& at, i32 column, REAL* x) {
  const i32 kh = KH ? KH : g.kh, kw = KW ? KW : g.kw;
  Piece value = {};
  Taps tap = {};
  if (at.row < g.ho && at.column < g.wo) {
    const i64 from = ((i64)(at.image * g.ho + at.row) * g.wo + at.column) * g.c + column;
    value = load(values, from);
    tap = *reinterpret_cast<const Taps*>(taps + from);
  }
#pragma unroll
  for (i32 i = 0; i < kh; ++i)
#pragma unroll
    for (i32 j = 0; j < kw; ++j) {
      const i32 row = at.row * kh - g.ph + i, place = at.column * kw - g.pw + j;
      if (!inside(row, g.h) || !inside(place, g.w)) continue;
      Piece pixel = {};
#pragma unroll
      for (i32 k = 0; k < VECTOR; ++k)
        if (tap.at[k] == i * kw + j) pixel.at[k] = value.at[k];
      store(x, pixel_at(g, at.image, row, place) + column, pixel);
    }
}

// down x across tiles for each image: enough to cover it.
extern "C" __global__ void __launch_bounds__(256, 4)
    scatter_tiles(const REAL* __restrict__ values, const u8* __restrict__ taps,
                  REAL* __restrict__ x, i64 tiles, i32 down, i32 across,
                  i32 h, i32 w, i32 c, i32 ho, i32 wo, i32 kh, i32 kw, i32 sh, i32 sw, i32 ph,
                  i32 pw, i32 dh, i32 dw) {
  const Window g = {h, w, c, ho, wo, kh, kw, sh, sw, ph, pw, dh, dw};
  const i32 column = my_column();
  if (column >= c) return;
  EACH_ROW(number, tiles) {
    const Place at = place_of(number, down, across);
    if (kh == 2 && kw == 2) write_tile<2, 2>(g, values, taps, at, column, x);
    else write_tile<0, 0>(g, values, taps, at, column, x);
  }
}

extern "C" __global__ void __launch_bounds__(256, 4)
    scatter(const REAL* __restrict__ values, const u8* __restrict__ taps, REAL* __restrict__ x,
            i64 pixels, i32 overlaps, i32 h, i32 w, i32 c, i32 ho, i32 wo, i32 kh, i32 kw, i32 sh,
            i32 sw, i32 ph, i32 pw, i32 dh, i32 dw) {
  const i32 column = my_column();
  if (column >= c) return;
  EACH_ROW(number, pixels) {
    const Place at = place_of(number, h, w);
    Piece sum = {};
    for (i32 i = 0; i < kh; ++i) {
      const i32 down = at.row + ph - i * dh;  // from the first window's tap 0
      if (down < 0) break;
      if (down % sh != 0 || down / sh >= ho) continue;
      for (i32 j = 0; j < kw; ++j) {
        const i32 across = at.column + pw - j * dw;
        if (across < 0) break;
        if (across % sw != 0 || across / sw >= wo) continue;
        const i64 from = ((i64)(at.image * ho + down / sh) * wo + across / sw) * c + column;
        const Taps tap = *reinterpret_cast<const Taps*>(taps + from);
        const Piece value = load(values, from);
#pragma unroll
        for (i32 k = 0; k < VECTOR; ++k)
          if (tap.at[k] == i * kw + j)
            sum.at[k] = overlaps ? sum.at[k] + value.at[k] : value.at[k];
      }
    }
    store(x, number * c + column, sum);
  }
}

// Neighbouring channels have their maxima at different pixels. Under a small window all pixels are
// fetched in whole pieces: their cache lines have to come anyway.
template <i32 KH, i32 KW>
__device__ __forceinline__ Piece chosen_of(const Window& g, const REAL* x, const Place& at,
                                           i32 column, const Taps& tap) {
  const i32 top = at.row * g.sh - g.ph, left = at.column * g.sw - g.pw;
  Piece y = {};
  if constexpr (KH == 0) {
#pragma unroll
    for (i32 k = 0; k < VECTOR; ++k) {
      const i32 row = top + tap.at[k] / g.kw * g.dh, place = left + tap.at[k] % g.kw * g.dw;
      y.at[k] = x[pixel_at(g, at.image, row, place) + column + k];
    }
  } else {
#pragma unroll
    for (i32 i = 0; i < KH; ++i)
#pragma unroll
      for (i32 j = 0; j < KW; ++j) {
        const Piece pixel = load(x, pixel_at(g, at.image, min(max(top + i * g.dh, 0), g.h - 1),
                                             min(max(left + j * g.dw, 0), g.w - 1)) + column);
#pragma unroll
        for (i32 k = 0; k < VECTOR; ++k)
          if (tap.at[k] == i * KW + j) y.at[k] = pixel.at[k];
      }
  }
  return y;
}

extern "C" __global__ void __launch_bounds__(256, 4)
    gather(const REAL* __restrict__ x, const u8* __restrict__ taps, REAL* __restrict__ y,
           i64 windows, i32 h, i32 w, i32 c, i32 ho, i32 wo, i32 kh, i32 kw, i32 sh, i32 sw, i32 ph,
           i32 pw, i32 dh, i32 dw) {
  const Window g = {h, w, c, ho, wo, kh, kw, sh, sw, ph, pw, dh, dw};
  const i32 column = my_column();
  if (column >= c) return;
  EACH_ROW(number, windows) {
    const Place at = place_of(number, ho, wo);
    const Taps tap = *reinterpret_cast<const Taps*>(taps + number * c + column);
    const Piece pixel = kh == 2 && kw == 2 ? chosen_of<2, 2>(g, x, at, column, tap)
                                           : chosen_of<0, 0>(g, x, at, column, tap);
    store(y, number * c + column, pixel);
  }
}
