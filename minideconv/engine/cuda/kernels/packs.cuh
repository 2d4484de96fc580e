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
