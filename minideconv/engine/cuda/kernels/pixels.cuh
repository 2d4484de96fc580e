// Images that are stored channels last, seen as rows of columns: a row is a pixel, a column a
// channel.
//
// Threads that are neighbours read columns that are neighbours, each a piece of 16 bytes: VECTOR
// numbers. A thread keeps to its columns and goes down the rows, so that what belongs to a channel
// (its mean, its scale) is fetched once and stays in registers. A block is blockDim.x pieces wide
// and blockDim.y rows high; blockIdx.y counts the blocks beside each other, blockIdx.x those below.
//
// Where the number of channels is no multiple of VECTOR, several pixels may be taken as one long
// row: column k then belongs to channel k % channels.
#ifndef VECTOR
#define VECTOR 1
#endif

struct alignas(sizeof(REAL) * VECTOR) Piece {
  REAL at[VECTOR];
};

struct alignas(VECTOR) Taps {
  u8 at[VECTOR];
};

__device__ __forceinline__ i32 my_column() {
  return (i32)(blockIdx.y * blockDim.x + threadIdx.x) * VECTOR;
}

#define EACH_ROW(row, rows)                                                                \
  for (i64 row = (i64)blockIdx.x * blockDim.y + threadIdx.y; row < (rows);                 \
       row += (i64)gridDim.x * blockDim.y)

__device__ __forceinline__ Piece load(const REAL* x, i64 position) {
  return *reinterpret_cast<const Piece*>(x + position);
}

__device__ __forceinline__ void store(REAL* y, i64 position, const Piece& piece) {
  *reinterpret_cast<Piece*>(y + position) = piece;
}

// The place of window (or pixel) `number` among all of a batch. They are fewer than 2^31, for a
// division of 32 bits costs a third of one of 64.
struct Place {
  i32 image, row, column;
};

__device__ __forceinline__ Place place_of(i64 number, i32 rows, i32 columns) {
  const u32 line = (u32)number / (u32)columns;
  Place place;
  place.column = (i32)((u32)number - line * (u32)columns);
  place.image = (i32)(line / (u32)rows);
  place.row = (i32)(line - (u32)place.image * (u32)rows);
  return place;
}
