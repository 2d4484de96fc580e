// The gradient of a convolution by its weights, again one product without a patch matrix.
//
//   dw[tap, c, k] = sum over pixels of  image[pixel moved by tap, c] dy[pixel, k]
//
// Rows of the product are (tap, c), columns are k, and the sum runs over the pixels of all images.
// A block makes BLOCK_M x BLOCK_N of it, in steps of 64 bytes' worth of pixels (32, or 16 with
// float32): a row of its tiles is one pixel, with BLOCK_M or BLOCK_N channels side by side, as they
// are stored in memory. A thread copies the same channels of the same tap in every step, so a tile
// may reach over several taps: for 64 channels, 128 rows are two taps.
//
//   - mma needs pixels side by side, so fragments are read turned: 16-bit numbers by
//     `load_four_turned`, which exchanges rows and columns of 8 x 8 numbers on the way. For float32
//     there is no such instruction; a lane reads the channels that it needs of a pixel as vectors,
//     and rows and columns of the warp's tile are numbered so that these are neighbours (`row_of`,
//     `column_of`). The order of rows in a product matters to the last lines only.
//   - Few and small results, a very long sum: it is cut into `parts`, one for each blockIdx.y, and
//     `sum_parts` adds these in order. No atomics, so the same numbers give the same bits.
//
// Tiles, buffers and barriers are those of implicit_gemm.cu.
//
// needs: sm_80
// with: tensor_cores.cuh
// compile: NUMBERS=0 BLOCK_M=128 BLOCK_N=128 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=0 BLOCK_M=128 BLOCK_N=64 WARP_M=64 WARP_N=32 STAGES=4
// compile: NUMBERS=0 BLOCK_M=64 BLOCK_N=64 WARP_M=32 WARP_N=32 STAGES=4
// compile: NUMBERS=1 BLOCK_M=128 BLOCK_N=128 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=1 BLOCK_M=128 BLOCK_N=64 WARP_M=64 WARP_N=32 STAGES=4
// compile: NUMBERS=1 BLOCK_M=64 BLOCK_N=64 WARP_M=32 WARP_N=32 STAGES=4
// compile: NUMBERS=2 BLOCK_M=128 BLOCK_N=128 WARP_M=64 WARP_N=64 STAGES=4
// compile: NUMBERS=2 BLOCK_M=128 BLOCK_N=64 WARP_M=64 WARP_N=32 STAGES=4
// compile: NUMBERS=2 BLOCK_M=64 BLOCK_N=64 WARP_M=32 WARP_N=32 STAGES=4
#define WARPS_M (BLOCK_M / WARP_M)
#define THREADS (WARPS_M * (BLOCK_N / WARP_N) * 32)
#define BLOCKS (WARP_M * WARP_N > 2048 ? 2 : WARP_M * WARP_N > 1024 ? 3 : 4)  // to a processor
#define PIXELS (4 * PER_VECTOR)           // in a step
#define DEPTH (2 * PER_VECTOR)            // of them in one mma
#define VECTORS_M (BLOCK_M / PER_VECTOR)  // in a row of a tile
#define VECTORS_N (BLOCK_N / PER_VECTOR)
#define LINES_M (THREADS / VECTORS_M)  // rows that all threads copy at once
#define LINES_N (THREADS / VECTORS_N)
#define TILE_M (PIXELS * VECTORS_M * 16)  // bytes
#define TILE_N (PIXELS * VECTORS_N * 16)

// Where vector `column` of row `row` is in a tile of `width` vectors a row, in bytes. Eight lanes
// that are served together must find eight different groups of banks (column modulo 8):
// `load_four_turned` reads one column of 8 rows; as float32, 8 lanes read columns c and c + 2 of 4
// rows (WARP 64), or c and c + 1 (WARP 32).
__device__ __forceinline__ i32 place(i32 row, i32 column, i32 width) {
#if NUMBERS == 2
  const i32 moved = column ^ (row % 2 * 3 + row / 2 % 2 * 4);
#else
  const i32 moved = column ^ (row % 8);
#endif
  return (row * width + moved) * 16;
}

// Fragments of a strip of SIZE channels, `channel` the first, over the DEPTH pixels from `pixel`.
// For the left operand 16 rows are a[0] to a[3]; for the right one, two times 8 columns.
template <i32 SIZE, bool is_left>
__device__ __forceinline__ void load_strip(u32 words[SIZE / 16][4], Shared tile, i32 width,
                                           i32 channel, i32 pixel, i32 lane) {
#if NUMBERS == 2
#pragma unroll
  for (i32 half = 0; half < 2; ++half) {  // pixels q and q + 4
    u32 read[SIZE / 8];
#pragma unroll
    for (i32 i = 0; i < SIZE / 32; ++i)
      load_vector(read + 4 * i, tile + place(pixel + half * 4 + lane % 4,
                                             (channel + lane / 4 * (SIZE / 8)) / 4 + i, width));
#pragma unroll
    for (i32 i = 0; i < SIZE / 8; ++i)
      words[i / 2][is_left ? i % 2 + half * 2 : i % 2 * 2 + half] = read[i];
  }
#pragma unroll
  for (i32 i = 0; i < SIZE / 16; ++i) rounded(words[i]);
#else
  const i32 eight = lane / 8;  // which of the four blocks this lane gives the address of
  const i32 down = is_left ? eight / 2 : eight % 2, along = is_left ? eight % 2 : eight / 2;
#pragma unroll
  for (i32 i = 0; i < SIZE / 16; ++i)
    load_four_turned(words[i], tile + place(pixel + down * 8 + lane % 8,
                                            channel / 8 + 2 * i + along, width));
#endif
}

// Which row of the warp's tile is row `half` x 8 + g of the product number i, and which column is
// column 2 q + one of the product number j.
__device__ __forceinline__ i32 row_of(i32 i, i32 half, i32 g) {
  return NUMBERS == 2 ? g * (WARP_M / 8) + 2 * i + half : 16 * i + 8 * half + g;
}
__device__ __forceinline__ i32 column_of(i32 j, i32 q, i32 one) {
  return NUMBERS == 2 ? (2 * q + one) * (WARP_N / 8) + j : 8 * j + 2 * q + one;
}

// image (images, image_h, image_w, vectors of 16 bytes), dy (count pixels, vectors of 16 bytes),
// parts (gridDim.y, rows, outputs) where rows = taps x channels. grid_h x grid_w pixels of dy in
// each image; the last four arguments divide by grid_h grid_w and by grid_w.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
implicit_weight_grad(const u32* image, const u32* dy, float* parts, i32 images, i32 image_h,
                     i32 image_w, i32 vectors, i32 outputs, i32 kernel_h, i32 kernel_w,
                     i32 stride_h, i32 stride_w, i32 pad_h, i32 pad_w, i32 dilation_h,
                     i32 dilation_w, i32 grid_h, i32 grid_w, u32 image_multiplier, i32 image_shift,
                     u32 row_multiplier, i32 row_shift) {
  DYN_SHARED(float4, buffers);
  const Shared buffer = shared_address(buffers);
  const i32 thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const i32 rows = kernel_h * kernel_w * vectors * PER_VECTOR;
  const i32 tiles_n = (outputs + BLOCK_N - 1) / BLOCK_N;
  const i32 m0 = blockIdx.x / tiles_n * BLOCK_M, n0 = blockIdx.x % tiles_n * BLOCK_N;
  const i32 pixels = grid_h * grid_w, count = images * pixels;

  // What this thread copies: one vector of channels of one tap, and one of dy's channels.
  const i32 column_m = thread % VECTORS_M, line_m = thread / VECTORS_M;
  const i32 vector = m0 / PER_VECTOR + column_m, tap = vector / vectors;
  const i32 top = tap / kernel_w * dilation_h - pad_h, left = tap % kernel_w * dilation_w - pad_w;
  const u32* from = image + (i64)(vector - tap * vectors) * WORDS;
  const i32 column_n = thread % VECTORS_N, line_n = thread / VECTORS_N;
  const u32* from_dy = dy + (i64)(n0 / PER_VECTOR + column_n) * WORDS;
  const bool is_tap = tap < kernel_h * kernel_w, is_output = n0 + column_n * PER_VECTOR < outputs;

  const u32 next = vectors * WORDS, next_dy = outputs / PER_VECTOR * WORDS;  // pixel, in words
  auto fetch = [&](i32 stage, i32 pixel) {
    const Shared tile_m = buffer + stage * (TILE_M + TILE_N), tile_n = tile_m + TILE_M;
#pragma unroll
    for (i32 line = 0; line < PIXELS; line += LINES_M) {
      const i32 r = pixel + line + line_m;
      const i32 number = divided(r, image_multiplier, image_shift), rest = r - number * pixels;
      const i32 p = divided(rest, row_multiplier, row_shift), q = rest - p * grid_w;
      const i32 h = p * stride_h + top, w = q * stride_w + left;
      const i32 at = (number * image_h + h) * image_w + w;
      copy_16(tile_m + place(line + line_m, column_m, VECTORS_M), from + (i64)at * next,
              is_tap && r < count && (u32)h < (u32)image_h && (u32)w < (u32)image_w);
    }
    const u32* first = from_dy + (i64)(pixel + line_n) * next_dy;
#pragma unroll
    for (i32 line = 0; line < PIXELS; line += LINES_N)
      copy_16(tile_n + place(line + line_n, column_n, VECTORS_N), first + (i64)line * next_dy,
              is_output && pixel + line + line_n < count);
  };

  // The steps of this part of the sum.
  const i64 all = ((i64)count + PIXELS - 1) / PIXELS;
  const i32 first = (i32)(all * blockIdx.y / gridDim.y);
  const i32 steps = (i32)(all * (blockIdx.y + 1) / gridDim.y) - first;
#pragma unroll
  for (i32 stage = 0; stage < STAGES - 1; ++stage) {
    if (stage < steps) fetch(stage, (first + stage) * PIXELS);
    end_of_group();
  }

  const i32 warp_m = warp % WARPS_M * WARP_M, warp_n = warp / WARPS_M * WARP_N;
  float sums[WARP_M / 16][WARP_N / 8][4] = {};
  for (i32 step = 0; step < steps; ++step) {
    wait_for_groups<STAGES - 2>();
    __syncthreads();
    const i32 coming = step + STAGES - 1;
    if (coming < steps) fetch(coming % STAGES, (first + coming) * PIXELS);
    end_of_group();  // an empty group too: `wait_for_groups` counts
    const Shared tile_m = buffer + step % STAGES * (TILE_M + TILE_N), tile_n = tile_m + TILE_M;
#pragma unroll
    for (i32 pixel = 0; pixel < PIXELS; pixel += DEPTH) {
      u32 a[WARP_M / 16][4], b[WARP_N / 16][4];
      load_strip<WARP_M, true>(a, tile_m, VECTORS_M, warp_m, pixel, lane);
      load_strip<WARP_N, false>(b, tile_n, VECTORS_N, warp_n, pixel, lane);
#pragma unroll
      for (i32 i = 0; i < WARP_M / 16; ++i)
#pragma unroll
        for (i32 j = 0; j < WARP_N / 8; ++j) mma(sums[i][j], a[i], b[j / 2] + j % 2 * 2);
    }
  }

  float* part = parts + (i64)blockIdx.y * rows * outputs;
#pragma unroll
  for (i32 i = 0; i < WARP_M / 16; ++i)
#pragma unroll
    for (i32 half = 0; half < 2; ++half) {
      const i32 m = m0 + warp_m + row_of(i, half, lane / 4);
      if (m >= rows) continue;
#pragma unroll
      for (i32 j = 0; j < WARP_N / 8; ++j)
#pragma unroll
        for (i32 one = 0; one < 2; ++one) {
          const i32 k = n0 + warp_n + column_of(j, lane % 4, one);
          if (k < outputs) part[(i64)m * outputs + k] = sums[i][j][2 * half + one];
        }
    }
}

// The parts' sum, in order: parts (number, count) -> total (count).
extern "C" __global__ void sum_parts(const float* parts, float* total, i32 number, i64 count) {
  GRID_STRIDE(i, count) {
    float sum = parts[i];
    for (i32 part = 1; part < number; ++part) sum += parts[part * count + i];
    total[i] = sum;
  }
}
