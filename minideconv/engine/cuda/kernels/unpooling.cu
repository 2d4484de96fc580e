// Unpooling by switches that hold the pixel but not their window: any number of values may belong
// to one pixel, and no formula gives which. So each pixel first gets a list of its values.
//
//     make_lists  every value enters itself at the head of its pixel's list
//     add_lists   every pixel adds up its list, by the numbers of the values
//     claim       every value enters its number at its pixel, the largest stays
//     winners     which value is the one that stayed
//
// The two atomics here are on whole numbers. The order in which a list is made is random, and does
// not matter: `add_lists` looks for the smallest number, then the next, so that a sum has one
// order. That is slow for long lists; those of a pooling hold a handful.
//
// compile: REAL=float ACC=float
// compile: REAL=double ACC=double

// Where value number i, of (image, place, channel), belongs: in (image, pixel, channel).
__device__ __forceinline__ i64 pixel_of(i64 i, const i32* indices, i32 places, i32 pixels, i32 c) {
  const i64 image = i / ((i64)places * c);
  return (image * pixels + indices[i]) * c + i % c;
}

extern "C" __global__ void make_lists(const i32* __restrict__ indices, i32* __restrict__ heads,
                                i32* __restrict__ next, i64 count, i32 places, i32 pixels, i32 c) {
  GRID_STRIDE(i, count)
  next[i] = atomicExch(heads + pixel_of(i, indices, places, pixels, c), (i32)i);
}

extern "C" __global__ void add_lists(const REAL* __restrict__ values, const i32* __restrict__ heads,
                               const i32* __restrict__ next, REAL* __restrict__ x, i64 count) {
  GRID_STRIDE(pixel, count) {
    REAL sum = 0;
    i32 added = -1, least = heads[pixel];
    while (least >= 0) {  // the least number behind the one that was added last
      least = -1;
      for (i32 i = heads[pixel]; i >= 0; i = next[i])
        if (i > added && (least < 0 || i < least)) least = i;
      if (least >= 0) sum += values[least];
      added = least;
    }
    x[pixel] = sum;
  }
}

extern "C" __global__ void claim(const i32* __restrict__ indices, i32* __restrict__ last,
                                 i64 count, i32 places, i32 pixels, i32 c) {
  GRID_STRIDE(i, count) atomicMax(last + pixel_of(i, indices, places, pixels, c), (i32)i);
}

extern "C" __global__ void winners(const i32* __restrict__ indices, const i32* __restrict__ last,
                                   u8* __restrict__ won, i64 count, i32 places, i32 pixels,
                                   i32 c) {
  GRID_STRIDE(i, count) won[i] = last[pixel_of(i, indices, places, pixels, c)] == (i32)i;
}
