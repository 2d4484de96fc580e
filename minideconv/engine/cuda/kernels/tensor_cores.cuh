// Tensor cores and asynchronous copies: the instructions that have no name in C++, one function
// each. Beside each stands its twin for the CPU on which the kernels are tested (FK_HOST).
//
// A tensor core multiplies small matrices that a warp holds in its registers, in 32-bit words:
//
//   mma   D (16x8, float32) = A (16 rows of 32 bytes) B (8 columns of 32 bytes) + D
//
// What the 32 bytes hold is NUMBERS: 0, sixteen bfloat16; 1, sixteen float16; 2, eight float32 of
// which the hardware multiplies the first 19 bits, called tf32. Lane l = 4 g + q of the warp has
//
//   A  words q and q + 4 of rows g and g + 8:        a[0] (g, q)      a[1] (g + 8, q)
//                                                    a[2] (g, q + 4)  a[3] (g + 8, q + 4)
//   B  words q and q + 4 of column g:                b[0] (q, g)      b[1] (q + 4, g)
//   D  columns 2 q and 2 q + 1 of rows g and g + 8:  d[0], d[1] (g)   d[2], d[3] (g + 8)
//
// In bytes this is one picture for all three types, and so is everything that is built on it here:
// memory is moved in vectors of 16 bytes, and only `mma` and `rounded` depend on what they hold.
//
// Source: PTX ISA, "Warp-level matrix instructions" (mma, ldmatrix) and "cp.async"; compute
// capability 8.0 and later.
#ifndef NUMBERS
#define NUMBERS 0
#endif
#if NUMBERS == 2
#define PER_VECTOR 4  // numbers in 16 bytes
#else
#define PER_VECTOR 8
#endif
#define WORDS 4  // 32-bit words in 16 bytes

#ifdef FK_HOST
typedef uint64_t Shared;  // an address in shared memory

inline Shared shared_address(const void* pointer) { return (Shared)pointer; }

inline void copy_16(Shared to, const void* from, bool is_there) {
  fk_cp_async(fk_cur, to, (uint64_t)from, 16, is_there ? 16 : 0);
}
inline void copy_16_kept(Shared to, const void* from, bool is_there) {
  copy_16(to, from, is_there);
}
inline void end_of_group() { fk_cp_commit(fk_cur); }
template <i32 left>
inline void wait_for_groups() {
  fk_cp_wait(fk_cur, left);
}
inline void load_four(u32* words, Shared row) { fk_ldmatrix(fk_cur, 4, 0, row, words); }
inline void load_four_turned(u32* words, Shared row) { fk_ldmatrix(fk_cur, 4, 1, row, words); }
inline void load_vector(u32* words, Shared from) { memcpy(words, (const void*)from, 16); }
inline void mma(float* d, const u32* a, const u32* b) {
  fk_mma(fk_cur, NUMBERS, (u32*)d, a, b, (u32*)d);
}
inline u32 tf32(u32 bits) {
  const bool is_finite = (bits & 0x7f800000u) != 0x7f800000u;
  return is_finite ? (bits + 0x1000u) & 0xffffe000u : bits;
}
#else
typedef u32 Shared;

__device__ __forceinline__ Shared shared_address(const void* pointer) {
  return (Shared)__cvta_generic_to_shared(pointer);
}

// Begin to copy 16 bytes; without `is_there` nothing is read and zeros are written. The second form
// leaves a copy in the first cache, beside shared memory: for what this block reads again.
__device__ __forceinline__ void copy_16(Shared to, const void* from, bool is_there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(is_there ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void copy_16_kept(Shared to, const void* from, bool is_there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(is_there ? 16 : 0)
               : "memory");
}

// What this thread has begun to copy since the last call is a group.
__device__ __forceinline__ void end_of_group() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Wait until all but the last `left` groups of this thread have arrived.
template <i32 left>
__device__ __forceinline__ void wait_for_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

// Four blocks of 8 rows of 16 bytes; lanes 8 i to 8 i + 7 hold the addresses of block i's rows. Lane
// 4 g + q receives word q of row g of each. Turned, for 16-bit numbers: numbers 2 q and 2 q + 1 of
// column g.
__device__ __forceinline__ void load_four(u32* words, Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_four_turned(u32* words, Shared row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(row)
               : "memory");
}

// 16 bytes for each lane, from its own address.
__device__ __forceinline__ void load_vector(u32* words, Shared from) {
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(from)
               : "memory");
}

__device__ __forceinline__ void mma(float* d, const u32* a, const u32* b) {
#if NUMBERS == 0
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#elif NUMBERS == 1
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
#if NUMBERS == 2
#define MMA "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
#endif
  asm volatile(MMA " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// To the nearest tf32, ties away from zero. Without it the hardware would cut the last 13 bits off,
// and every product would be too small.
__device__ __forceinline__ u32 tf32(u32 bits) {
  u32 rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}
#endif

// Round the words of a fragment that was read as float32; 16-bit numbers are rounded already.
__device__ __forceinline__ void rounded(u32* words) {
#if NUMBERS == 2
#pragma unroll
  for (i32 i = 0; i < WORDS; ++i) words[i] = tf32(words[i]);
#endif
}

// numerator / d for numbers from 0 to 2^31 - 1, with a multiplication in place of a division; the
// two constants belong to d. Source: Granlund and Montgomery, "Division by invariant integers using
// multiplication" (PLDI 1994), figure 4.1.
__device__ __forceinline__ i32 divided(i32 numerator, u32 multiplier, i32 shift) {
  return (i32)((__umulhi((u32)numerator, multiplier) + (u32)numerator) >> shift);
}
