// The patch matrix of a convolution, im2col, and its transpose, col2im; images are stored channels
// last.
//
//     im2col   (N, H, W, C) -> (positions, groups, kh, kw, C/groups)
//     col2im   the same, backwards: every pixel collects its share of the columns
//
// A thread handles VECTOR channels of one place, under all taps of the kernel: where that is has to
// be worked out once for kh kw transfers, neighbours among the threads read and write neighbours in
// memory, and a transfer is up to 16 bytes. Rows of the output are the blocks' y, so that any range
// of rows can be made by itself and no position needs a 64-bit division.
//
// The columns are factors of a product, and are written in the product's type (factors.cuh).
//
// Source: Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
// processing" (2006), section 4.
//
// with: factors.cuh
// compile: REAL=float ACC=float FACTOR=float VECTOR=1
// compile: REAL=float ACC=float FACTOR=float VECTOR=4
// compile: REAL=double ACC=double FACTOR=double VECTOR=1
// compile: REAL=double ACC=double FACTOR=double VECTOR=2
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_bfloat16 VECTOR=1
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_bfloat16 VECTOR=4
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_bfloat16 VECTOR=8
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_half VECTOR=1
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_half VECTOR=4
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_half VECTOR=8

// The output's rows first, first + 1, ... of all images; row r of image n is number n H' + r.
// Padding and dilation may be negative: the window leaves pixels out, or its taps run backwards.
extern "C" __global__ void im2col(const REAL* __restrict__ x, FACTOR* __restrict__ cols, i32 first,
                                  i32 rows, i32 h, i32 w, i32 c, i32 groups, i32 kh, i32 kw, i32 sh,
                                  i32 sw, i32 ph, i32 pw, i32 dh, i32 dw, i32 ho, i32 wo) {
  const i32 vectors = c / VECTOR, in_group = c / groups;
  for (i32 row = blockIdx.y; row < rows; row += gridDim.y) {
    const i32 top = (first + row) % ho * sh - ph;
    const REAL* image = x + (i64)((first + row) / ho) * h * w * c;
    for (i32 item = blockIdx.x * blockDim.x + threadIdx.x; item < wo * vectors;
         item += gridDim.x * blockDim.x) {
      const i32 column = item / vectors, channel = item % vectors * VECTOR;
      const i32 left = column * sw - pw, group = channel / in_group;
      FACTOR* to = cols + (((i64)row * wo + column) * groups + group) * kh * kw * in_group +
                   (channel - group * in_group);
      for (i32 i = 0; i < kh; ++i) {
        const i32 y = top + i * dh;
        for (i32 j = 0; j < kw; ++j) {
          const i32 z = left + j * dw;
          Reals values = {};
          if (y >= 0 && y < h && z >= 0 && z < w)
            values = *(const Reals*)(image + ((i64)y * w + z) * c + channel);
          *(Factors*)to = rounded(values);
          to += in_group;
        }
      }
    }
  }
}

// Which window of this stride starts `distance` pixels behind the first one; -1 if none does.
__device__ __forceinline__ i32 window_at(i32 distance, i32 stride, i32 count) {
  if (distance < 0) return -1;
  if (stride != 1) {
    if (distance % stride != 0) return -1;
    distance /= stride;
  }
  return distance < count ? distance : -1;
}

// The image's rows start, ..., stop - 1 (row p of image n is number n H + p) receive their share of
// these columns, which belong to the output's rows first, ..., first + rows - 1. A row from `fresh`
// on is written for the first time, with the bias if there is one; one before it is added to.
extern "C" __global__ void col2im(const REAL* __restrict__ cols, const REAL* __restrict__ bias,
                                  REAL* __restrict__ x, i32 biased, i32 start, i32 stop, i32 fresh,
                                  i32 first, i32 rows, i32 h, i32 w, i32 c, i32 groups, i32 kh,
                                  i32 kw, i32 sh, i32 sw, i32 ph, i32 pw, i32 dh, i32 dw, i32 ho,
                                  i32 wo) {
  const i32 vectors = c / VECTOR, in_group = c / groups;
  for (i32 row = start + blockIdx.y; row < stop; row += gridDim.y) {
    const i32 above = row / h * ho - first, p = row % h + ph;
    for (i32 item = blockIdx.x * blockDim.x + threadIdx.x; item < w * vectors;
         item += gridDim.x * blockDim.x) {
      const i32 q = item / vectors + pw, channel = item % vectors * VECTOR;
      const i32 group = channel / in_group, taps = kh * kw;
      const REAL* from = cols + (i64)group * taps * in_group + (channel - group * in_group);
      ACC sums[VECTOR] = {};
      for (i32 i = 0; i < kh; ++i) {
        const i32 y = window_at(p - i * dh, sh, ho);
        if (y < 0 || above + y < 0 || above + y >= rows) continue;
        for (i32 j = 0; j < kw; ++j) {
          const i32 z = window_at(q - j * dw, sw, wo);
          if (z < 0) continue;
          const i64 position = (i64)(above + y) * wo + z;
          const Reals share = *(const Reals*)(from + position * groups * taps * in_group +
                                              (i64)(i * kw + j) * in_group);
#pragma unroll
          for (i32 k = 0; k < VECTOR; ++k) sums[k] += share.at[k];
        }
      }
      Reals* pixel = (Reals*)(x + (i64)row * w * c + (i64)item * VECTOR);
      Reals result;
      if (row < fresh) result = *pixel;
#pragma unroll
      for (i32 k = 0; k < VECTOR; ++k) {
        if (row < fresh) sums[k] += result.at[k];
        else if (biased) sums[k] += bias[channel + k];
        result.at[k] = (REAL)sums[k];
      }
      *pixel = result;
    }
  }
}
