// Convolution as one matrix product whose left operand, the patch matrix, is never in memory.
//
//   result[pixel, k] = bias[k] + sum over tap, c of  image[pixel moved by tap, c] weight[tap, k, c]
//
// A block of threads makes BLOCK_M pixels x BLOCK_N output channels of the result. It goes through
// the sum in steps of 64 bytes of channels of one tap (32 channels of 16 bits, or 16 of 32): it
// copies that part of the patch matrix from the image itself, zeros where the window stands over
// the border, and that part of the weights, into shared memory, and multiplies them. Every tap
// reads the same pixels moved by one, so all but the first reading are served by the caches.
//
//   - The sum runs over taps inside and channels outside: nine taps in a row then find their
//     pixels in the first cache, where `copy_16_kept` leaves them.
//   - STAGES buffers: while one is multiplied, the next STAGES - 1 are on their way. One barrier a
//     step: behind it the next buffer has arrived for all, and all are done with the last.
//   - In shared memory a row is four vectors of 16 bytes, and vector v of row r is at place
//     v ^ (r / 2 % 4). The eight rows that `load_four` reads at once are in eight different groups
//     of banks, and so are the vectors that eight threads write.
//   - Blocks that share pixels have neighbouring numbers and run at the same time; the weights,
//     which all share, stay in the second cache.
//
// The gradient by the input is such a sum too. Pixel h of the image was met by tap i at the output
// p = (h + pad - i dilation) / stride, where that is a whole number. The pixels with the same
// (h + pad) % stride, a phase, have the same taps, and two neighbours among them have neighbours p:
// each phase is a convolution of dy, with stride 1 and some of the taps. blockIdx.y is the phase.
//
// Source: Chetlur et al., "cuDNN: efficient primitives for deep learning" (2014), section 3, for
// the idea; the pipeline and the order of the sum are those of CUTLASS ("Implicit GEMM
// convolution", "Efficient GEMM in CUDA" in its documentation).
//
// needs: sm_80
// with: tensor_cores.cuh
// compile: NUMBERS=0 BLOCK_M=256 BLOCK_N=64 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=0 BLOCK_M=128 BLOCK_N=128 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=0 BLOCK_M=128 BLOCK_N=64 WARP_M=64 WARP_N=32 STAGES=4
// compile: NUMBERS=0 BLOCK_M=64 BLOCK_N=64 WARP_M=32 WARP_N=32 STAGES=4
// compile: NUMBERS=1 BLOCK_M=256 BLOCK_N=64 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=1 BLOCK_M=128 BLOCK_N=128 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=1 BLOCK_M=128 BLOCK_N=64 WARP_M=64 WARP_N=32 STAGES=4
// compile: NUMBERS=1 BLOCK_M=64 BLOCK_N=64 WARP_M=32 WARP_N=32 STAGES=4
// compile: NUMBERS=2 BLOCK_M=256 BLOCK_N=64 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=2 BLOCK_M=128 BLOCK_N=128 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=2 BLOCK_M=128 BLOCK_N=64 WARP_M=64 WARP_N=32 STAGES=4
// compile: NUMBERS=2 BLOCK_M=64 BLOCK_N=64 WARP_M=32 WARP_N=32 STAGES=4
#define WARPS_M (BLOCK_M / WARP_M)
#define THREADS (WARPS_M * (BLOCK_N / WARP_N) * 32)
#define BLOCKS (WARP_M * WARP_N > 2048 ? 2 : WARP_M * WARP_N > 1024 ? 3 : 4)  // to a processor
#define VECTORS 4                    // in a row of a tile: 64 bytes
#define LINES (THREADS / VECTORS)    // rows that all threads copy at once
#define ROWS_M (BLOCK_M / LINES)     // rows that one thread copies
#define ROWS_N (BLOCK_N / LINES)
#define TILE_M (BLOCK_M * VECTORS * 16)  // bytes
#define TILE_N (BLOCK_N * VECTORS * 16)
#define OUTSIDE (-(1 << 30))

// Where vector `column` of row `row` of a tile is, in bytes.
__device__ __forceinline__ i32 place(i32 row, i32 column) {
  return (row * VECTORS + (column ^ (row / 2 % VECTORS))) * 16;
}

// One axis of the walk: pixel u of this phase is pixel first + step u of the result; its tap number
// t is entry tap + tap_step t of the kernel, and meets pixel from + stride u + move t of the image.
struct Axis {
  i32 first, step, from, stride, move, tap, tap_step, taps;
};

__device__ inline Axis forward_axis(i32 kernel, i32 stride, i32 pad, i32 dilation) {
  return {0, 1, -pad, stride, dilation, 0, 1, kernel};
}

__device__ inline Axis backward_axis(i32 phase, i32 kernel, i32 stride, i32 pad, i32 dilation) {
  i32 divisor = stride, rest = dilation;  // Euclid's
  while (rest) {
    const i32 next = divisor % rest;
    divisor = rest;
    rest = next;
  }
  const i32 tap_step = stride / divisor;
  i32 tap = 0;
  while (tap < tap_step && (phase + pad - tap * dilation) % stride != 0) ++tap;
  const bool has_taps = tap < tap_step && tap < kernel;
  return {phase,
          stride,
          has_taps ? (phase + pad - tap * dilation) / stride : 0,
          1,
          -(dilation / divisor),
          tap,
          tap_step,
          has_taps ? (kernel - tap + tap_step - 1) / tap_step : 0};
}

// image (images, image_h, image_w, vectors of 16 bytes), weight (kernel_h, kernel_w, outputs,
// vectors), result (images, result_h, result_w, outputs). grid_h x grid_w pixels of each image in
// one phase; the last four arguments divide by grid_h grid_w and by grid_w.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
implicit_gemm(const u32* image, const u32* weight, const float* __restrict__ bias, float* result,
              i32 images, i32 image_h, i32 image_w, i32 vectors, i32 result_h, i32 result_w,
              i32 outputs, i32 kernel_h, i32 kernel_w, i32 stride_h, i32 stride_w, i32 pad_h,
              i32 pad_w, i32 dilation_h, i32 dilation_w, i32 is_backward, i32 has_bias, i32 grid_h,
              i32 grid_w, u32 image_multiplier, i32 image_shift, u32 row_multiplier,
              i32 row_shift) {
  DYN_SHARED(float4, buffers);
  const Shared buffer = shared_address(buffers);
  const i32 thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const i32 tiles_n = (outputs + BLOCK_N - 1) / BLOCK_N;
  const i32 m0 = blockIdx.x / tiles_n * BLOCK_M, n0 = blockIdx.x % tiles_n * BLOCK_N;
  const i32 pixels = grid_h * grid_w, count = images * pixels;
  const i32 phase_h = blockIdx.y / stride_w, phase_w = blockIdx.y % stride_w;
  const Axis down = is_backward
                        ? backward_axis(phase_h, kernel_h, stride_h, pad_h, dilation_h)
                        : forward_axis(kernel_h, stride_h, pad_h, dilation_h);
  const Axis along = is_backward
                         ? backward_axis(phase_w, kernel_w, stride_w, pad_w, dilation_w)
                         : forward_axis(kernel_w, stride_w, pad_w, dilation_w);

  // The rows of both tiles that this thread copies, one vector of each in a step.
  const i32 column = thread % VECTORS, line = thread / VECTORS;
  i32 row_m[ROWS_M], top[ROWS_M], left[ROWS_M];  // the pixel of tap 0, counted through, and where
#pragma unroll
  for (i32 i = 0; i < ROWS_M; ++i) {
    const i32 m = m0 + line + i * LINES, inside = m < count ? m : 0;
    const i32 number = divided(inside, image_multiplier, image_shift);
    const i32 rest = inside - number * pixels, u = divided(rest, row_multiplier, row_shift);
    const i32 h = down.from + down.stride * u, w = along.from + along.stride * (rest - u * grid_w);
    row_m[i] = (number * image_h + h) * image_w + w;
    top[i] = m < count ? h : OUTSIDE;
    left[i] = w;
  }
  i32 row_n[ROWS_N];
#pragma unroll
  for (i32 i = 0; i < ROWS_N; ++i) row_n[i] = n0 + line + i * LINES;

  // Begin the copies of the next step into a buffer, and go on to the step after it. Where a copy
  // has nothing to read its address means nothing.
  const i32 next = vectors * WORDS;  // from one pixel, tap, row of taps to the next, in words
  const i64 next_tap = (i64)outputs * next, next_row = kernel_w * next_tap;
  const i64 first = down.tap * next_row + along.tap * next_tap;
  const u32* from = image + column * WORDS;  // this step's channels of pixel 0
  const u32* from_weight = weight + column * WORDS + first;
  i32 tap_h = 0, tap_w = 0, move_h = 0, move_w = 0, channel = column;
  auto fetch = [&](i32 stage) {
    const Shared tile_m = buffer + stage * (TILE_M + TILE_N), tile_n = tile_m + TILE_M;
    const bool is_channel = channel < vectors;
    const i32 moved = move_h * image_w + move_w;
#pragma unroll
    for (i32 i = 0; i < ROWS_M; ++i)
      copy_16_kept(tile_m + place(line + i * LINES, column), from + (i64)(row_m[i] + moved) * next,
                   is_channel && (u32)(top[i] + move_h) < (u32)image_h &&
                       (u32)(left[i] + move_w) < (u32)image_w);
#pragma unroll
    for (i32 i = 0; i < ROWS_N; ++i)
      copy_16(tile_n + place(line + i * LINES, column), from_weight + (i64)row_n[i] * next,
              is_channel && row_n[i] < outputs);
    if (++tap_w < along.taps) {
      move_w += along.move;
      from_weight += along.tap_step * next_tap;
      return;
    }
    from_weight -= (along.taps - 1) * along.tap_step * next_tap;
    tap_w = move_w = 0;
    if (++tap_h < down.taps) {
      move_h += down.move;
      from_weight += down.tap_step * next_row;
      return;
    }
    tap_h = move_h = 0;
    channel += VECTORS;
    from += VECTORS * WORDS;
    from_weight = weight + channel * WORDS + first;
  };

  const i32 steps = down.taps * along.taps * ((vectors + VECTORS - 1) / VECTORS);
#pragma unroll
  for (i32 stage = 0; stage < STAGES - 1; ++stage) {
    if (stage < steps) fetch(stage);
    end_of_group();
  }

  // This warp's part of the block's tile: sums[i][j] is 16 pixels x 8 output channels.
  const i32 warp_m = warp % WARPS_M * WARP_M, warp_n = warp / WARPS_M * WARP_N;
  float sums[WARP_M / 16][WARP_N / 8][4] = {};
  for (i32 step = 0; step < steps; ++step) {
    wait_for_groups<STAGES - 2>();
    __syncthreads();
    if (step + STAGES - 1 < steps) fetch((step + STAGES - 1) % STAGES);
    end_of_group();  // an empty group too: `wait_for_groups` counts
    const Shared tile_m = buffer + step % STAGES * (TILE_M + TILE_N), tile_n = tile_m + TILE_M;
#pragma unroll
    for (i32 part = 0; part < VECTORS; part += 2) {  // 32 bytes of the row: one mma
      u32 a[WARP_M / 16][4], b[WARP_N / 16][4];
#pragma unroll
      for (i32 i = 0; i < WARP_M / 16; ++i) {
        load_four(a[i], tile_m + place(warp_m + 16 * i + lane % 16, part + lane / 16));
        rounded(a[i]);
      }
#pragma unroll
      for (i32 j = 0; j < WARP_N / 16; ++j) {
        const i32 n = warp_n + 16 * j + lane / 16 * 8 + lane % 8;
        load_four(b[j], tile_n + place(n, part + lane / 8 % 2));
        rounded(b[j]);
      }
#pragma unroll
      for (i32 i = 0; i < WARP_M / 16; ++i)
#pragma unroll
        for (i32 j = 0; j < WARP_N / 8; ++j) mma(sums[i][j], a[i], b[j / 2] + j % 2 * 2);
    }
  }

  // Four lanes together write 32 bytes of a pixel: a whole sector of the second cache.
  const i32 n = n0 + warp_n + lane % 4 * 2;
  const bool in_pairs = outputs % 2 == 0;
#pragma unroll
  for (i32 i = 0; i < WARP_M / 8; ++i) {  // rows g and g + 8 of every 16
    const i32 m = m0 + warp_m + 8 * i + lane / 4;
    const i32 number = divided(m, image_multiplier, image_shift), rest = m - number * pixels;
    const i32 u = divided(rest, row_multiplier, row_shift), v = rest - u * grid_w;
    const i32 h = down.first + down.step * u, w = along.first + along.step * v;
    if (m >= count || h >= result_h || w >= result_w) continue;
    float* pixel = result + (((i64)number * result_h + h) * result_w + w) * outputs;
#pragma unroll
    for (i32 j = 0; j < WARP_N / 8; ++j) {
      const i32 k = n + 8 * j;
      if (k >= outputs) continue;
      const bool has_next = k + 1 < outputs;
      const float one = sums[i / 2][j][i % 2 * 2] + (has_bias ? bias[k] : 0.0f);
      const float two =
          sums[i / 2][j][i % 2 * 2 + 1] + (has_bias && has_next ? bias[k + 1] : 0.0f);
      if (in_pairs) {
        *(float2*)(pixel + k) = {one, two};
      } else {
        pixel[k] = one;
        if (has_next) pixel[k + 1] = two;
      }
    }
  }
}
