// Scores of pixels that are stored channels last: (pixels, classes), a pixel's scores side by side.
//
// LANES neighbouring threads share a pixel, and each holds PER of its scores in registers: classes
// lane, lane + LANES, ... So threads side by side read numbers side by side, and what concerns a
// whole pixel, such as its largest score, is found by a few shuffles.
#ifndef LANES
#define LANES 8
#endif
#ifndef PER
#define PER 3
#endif
#ifndef LABEL
#define LABEL u8
#endif

#define WARP 32
#define EVERY_LANE 0xffffffffu

// A loop over a thread's scores: the k-th is that of class c.
#define MY_CLASSES(k, c, lane) \
  _Pragma("unroll") for (i32 k = 0, c = (lane); k < PER; ++k, c += LANES)

__device__ __forceinline__ i32 my_lane() { return (i32)threadIdx.x % LANES; }

// Write a thread's scores to z. Where it has no class it gets a score of the pixel's once more,
// which changes no maximum.
__device__ __forceinline__ void fetch(const REAL* scores, i32 classes, REAL* z) {
  MY_CLASSES(k, c, my_lane()) z[k] = scores[c < classes ? c : 0];
}

// A label is a class, or the one to ignore, or wrong. `wrong` counts those by value from 0; behind
// them labels below, labels above, and weights of classes that cannot be.
#define VALUES 256
#define BELOW VALUES
#define ABOVE (VALUES + 1)
#define WEIGHTS (VALUES + 2)

__device__ __forceinline__ bool counts(i64 label, i64 ignored, i32 classes) {
  return label != ignored && label >= 0 && label < classes;
}

__device__ __forceinline__ void complain(i64 label, u32* wrong) {
  atomicAdd(&wrong[label < 0 ? BELOW : label < VALUES ? (i32)label : ABOVE], 1u);
}
