// The weights of a convolution for implicit_gemm.cu: (tap, rows, columns) -> (tap, columns, rows),
// rounded to the product's type. A block turns 32 x 32 numbers in shared memory, so that it reads
// along rows and writes along columns; a row there is 33 numbers long, so that a column's numbers
// lie in 32 different banks.
//
// with: factors.cuh
// compile: FACTOR=float
// compile: FACTOR=u16 ROUND=to_bfloat16
// compile: FACTOR=u16 ROUND=to_half
#define SIDE 32
#define LINES 8  // rows of threads

extern "C" __global__ void turn_weights(const float* weights, FACTOR* turned, i32 rows,
                                        i32 columns) {
  __shared__ float tile[SIDE][SIDE + 1];
  const i64 tap = (i64)blockIdx.z * rows * columns;
  const i32 row = blockIdx.y * SIDE, column = blockIdx.x * SIDE;
  for (i32 i = threadIdx.y; i < SIDE; i += LINES)
    if (row + i < rows && column + (i32)threadIdx.x < columns)
      tile[i][threadIdx.x] = weights[tap + (i64)(row + i) * columns + column + threadIdx.x];
  __syncthreads();
  for (i32 i = threadIdx.y; i < SIDE; i += LINES)
    if (column + i < columns && row + (i32)threadIdx.x < rows)
      turned[tap + (i64)(column + i) * rows + row + threadIdx.x] = ROUND(tile[threadIdx.x][i]);
}
