// Input and output channels of a weight change places, and it is rounded to factors on the way.
//
//     (taps, rows, groups, columns) -> (taps, columns, groups, rows)
//
// Read along its rows and written along its columns, a matrix is touched one number a cache line on
// one of the two sides. So a block takes tiles of it through shared memory: both sides see whole
// lines. A tile's rows are one number longer than they need: the numbers of a column are then in
// different banks.
//
// Source: Ruetsch, Micikevicius, "Optimizing matrix transpose in CUDA" (2009), sections 4 and 5.
//
// with: factors.cuh
// compile: REAL=float ACC=float FACTOR=float
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_bfloat16
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_half
// compile: REAL=double ACC=double FACTOR=double
#define TILE 32

// A block is (TILE, any number) threads.
extern "C" __global__ void exchange(const REAL* __restrict__ weight, FACTOR* __restrict__ factors,
                                    i32 taps, i32 rows, i32 groups, i32 columns) {
  __shared__ REAL tile[TILE][TILE + 1];
  const i32 x = threadIdx.x;
  for (i32 matrix = blockIdx.z; matrix < taps * groups; matrix += gridDim.z) {
    const i32 tap = matrix / groups, group = matrix % groups;
    for (i32 top = blockIdx.y * TILE; top < rows; top += gridDim.y * TILE) {
      for (i32 left = blockIdx.x * TILE; left < columns; left += gridDim.x * TILE) {
        for (i32 y = threadIdx.y; y < TILE; y += blockDim.y) {
          const i64 line = ((i64)tap * rows + top + y) * groups + group;
          if (top + y < rows && left + x < columns) tile[y][x] = weight[line * columns + left + x];
        }
        __syncthreads();
        for (i32 y = threadIdx.y; y < TILE; y += blockDim.y) {
          const i64 line = ((i64)tap * columns + left + y) * groups + group;
          const bool inside = left + y < columns && top + x < rows;
          if (inside) factors[line * rows + top + x] = ROUND(tile[x][y]);
        }
        __syncthreads();
      }
    }
  }
}
