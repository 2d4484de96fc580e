// Gaussian filtering on the permutohedral lattice: splat, blur, slice (ops/permutohedral.py).
//
//     splat_pieces    every piece of a corner's list adds up what its points give
//     splat_corners   every corner adds up its pieces, in their order
//     blur            along one direction: a corner and half of its two neighbours
//     slice           every point mixes the values of its corners
//
// Splatting is a scatter, and would take atomic additions of floats, whose order is chance. Here
// each corner gathers, from a list of its points that is in their order (lattice_build.cu), so that
// the same input gives the same bits. Where all pixels are alike a corner has thousands of points:
// that is why lists are cut into pieces.
//
// A thread has one label of one row; its neighbours have the next labels, and read numbers side by
// side. Tables hold `width` labels a row: all of them, or as many as the memory allowed for. Behind
// the rows of all corners comes that of the one that is not there, which is 0.
//
// compile: REAL=float ACC=float

// i / width. Most are below 2^32, where a division takes a third of the time.
__device__ __forceinline__ i64 row_of(i64 i, i32 width) {
  return i >> 32 ? i / width : (i64)((u32)i / (u32)width);
}

// `values` (points, labels) from label `first` on; `order` has entries, CORNERS a point.
extern "C" __global__ void splat_pieces(const float* __restrict__ values,
                                        const float* __restrict__ weights,
                                        const i32* __restrict__ order,
                                        const i32* __restrict__ pieces, float* __restrict__ sums,
                                        i64 count, i32 corners, i32 labels, i32 first, i32 width) {
  GRID_STRIDE(i, count) {
    const i64 piece = row_of(i, width);
    const i64 label = first + (i - piece * width);
    float sum = 0;
    for (i32 k = pieces[piece]; k < pieces[piece + 1]; ++k) {
      const i32 entry = order[k];
      sum = multiply_add(weights[entry], values[(i64)(entry / corners) * labels + label], sum);
    }
    sums[i] = sum;
  }
}

extern "C" __global__ void splat_corners(const float* __restrict__ sums,
                                         const i32* __restrict__ firsts, float* __restrict__ table,
                                         i64 count, i32 corners, i32 width) {
  GRID_STRIDE(i, count) {
    const i64 corner = row_of(i, width);
    const i64 label = i - corner * width;
    float sum = 0;
    if (corner < corners)
      for (i64 piece = firsts[corner]; piece < firsts[corner + 1]; ++piece)
        sum += sums[piece * width + label];
    table[i] = sum;
  }
}

extern "C" __global__ void blur(const float* __restrict__ table, const i32* __restrict__ before,
                                const i32* __restrict__ behind, float* __restrict__ result,
                                i64 count, i32 corners, i32 width) {
  GRID_STRIDE(i, count) {
    const i64 corner = row_of(i, width);
    const i64 label = i - corner * width;
    if (corner == corners) {
      result[i] = 0;
      continue;
    }
    const float both = table[(i64)before[corner] * width + label] +
                       table[(i64)behind[corner] * width + label];
    result[i] = multiply_add(0.5f, both, table[i]);
  }
}

extern "C" __global__ void slice(const float* __restrict__ table,
                                 const i32* __restrict__ corner_of,
                                 const float* __restrict__ weights, float scale,
                                 float* __restrict__ values, i64 count, i32 corners, i32 labels,
                                 i32 first, i32 width) {
  GRID_STRIDE(i, count) {
    const i64 point = row_of(i, width);
    const i64 label = i - point * width;
    float value = 0;
    for (i64 k = point * corners; k < (point + 1) * corners; ++k)
      value = multiply_add(weights[k], table[(i64)corner_of[k] * width + label], value);
    values[point * labels + first + label] = value * scale;
  }
}
