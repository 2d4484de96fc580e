// Numbers as factors of a product: vectors of them, and their rounding to the product's type.
//
// FACTOR is REAL, or u16 with ROUND=to_bfloat16 or to_half: 16 bits holding such a number, rounded
// to the nearest, ties to even, NaN kept. VECTOR of them are moved at once, 16 bytes a transfer.
#ifndef FACTOR
#define FACTOR REAL
#endif
#ifndef ROUND
#define ROUND(value) (value)
#endif
#ifndef VECTOR
#define VECTOR 1
#endif

#define ALIGNED(type) alignas(VECTOR * sizeof(type) < 16 ? VECTOR * sizeof(type) : 16)

struct ALIGNED(REAL) Reals {
  REAL at[VECTOR];
};
struct ALIGNED(FACTOR) Factors {
  FACTOR at[VECTOR];
};

__device__ __forceinline__ u16 to_bfloat16(float value) {
  const u32 bits = (u32)__float_as_int(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (u16)(bits >> 16 | 0x40u);  // NaN stays NaN
  return (u16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

__device__ __forceinline__ u16 to_half(float value) {
#ifdef __CUDA_ARCH__  // one instruction; what follows is the same for a CPU
  u16 half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
  return half;
#else
  const u32 bits = (u32)__float_as_int(value), size = bits & 0x7fffffffu;
  const u16 sign = (u16)(bits >> 16 & 0x8000u);
  if (size > 0x7f800000u) return 0x7fff;
  if (size >= 0x477ff000u) return (u16)(sign | 0x7c00u);  // from 65520 on: infinity
  if (size >= 0x38800000u)  // from 2^-14 on: another bias of the exponent
    return (u16)(sign | ((size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13));
  if (size <= 0x33000000u) return sign;  // up to 2^-25: nothing
  const u32 drop = 126u - (size >> 23), digits = (size & 0x7fffffu) | 0x800000u;
  const u32 kept = digits >> drop, rest = digits & ((1u << drop) - 1u), tie = 1u << (drop - 1u);
  return (u16)(sign | (kept + (rest > tie || (rest == tie && (kept & 1u)))));
#endif
}

__device__ __forceinline__ Factors rounded(const Reals& values) {
  Factors result;
#pragma unroll
  for (i32 k = 0; k < VECTOR; ++k) result.at[k] = ROUND(values.at[k]);
  return result;
}
