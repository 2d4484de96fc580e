// A walk over a whole array: a thread takes 16 bytes at once, the most that one instruction can
// fetch, and neighbours take neighbouring ones. Arrays that do not begin at a multiple of 16 bytes
// are taken number by number.
#define LANES (16 / (i32)sizeof(REAL))

struct alignas(16) Pack {
  REAL at[LANES];
};

__device__ __forceinline__ i64 address(const REAL* array) { return (i64)(size_t)array; }

// How many packs arrays of `count` numbers have; `bits` is the "or" of their addresses.
__device__ __forceinline__ i64 packs_in(i64 count, i64 bits) {
  return bits % 16 == 0 ? count / LANES : 0;
}

// a b + c, rounded once. Written out, so that the packs of a walk and what is left over at its end
// are computed alike: a compiler may join a product and a sum in one place and not in the other.
__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }
