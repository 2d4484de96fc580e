// What every kernel file begins with: it is put in front of it, so nothing is included by path.
//
// A kernel is written so that a GPU runs it and a CPU can check it:
//   - extern "C", with pointers and fixed-width scalars as arguments; no templates across that line
//   - REAL is the type of the numbers in memory (-DREAL=float or double); ACC that of the sums
//   - a grid-stride loop, so that any grid is right and the grid is a matter of speed only
//   - 64-bit positions: a batch of images has more than 2^31 numbers
//   - every element of the result is written, by one thread, in a fixed order of sums: no atomics,
//     so that the same numbers give the same bits
//   - shared memory whose size the caller chooses: DYN_SHARED(type, name)
// Macros have long names: the compiler's own headers are templates over T.
#ifndef REAL
#define REAL float
#endif
#ifndef DYN_SHARED
#define DYN_SHARED(type, name) extern __shared__ type name[]
#endif

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;

#define GRID_STRIDE(i, count)                                                        \
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (count);              \
       i += (i64)gridDim.x * blockDim.x)

// a b + c, rounded once. Written out where two places must compute alike: a compiler may join a
// product and a sum in one place and not in the other.
__device__ __forceinline__ float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) {
  return fma(a, b, c);
}
