// Batch normalisation of one number: y = (x - shift) * scale + offset, the three from a channel's
// statistics. `shift` is the mean as REAL; what is missing in it is in `offset`, made in double.
//
// The backward pass needs the sign of y again. It gets it from x by the same function, with the
// same roundings, so that the forward and the backward pass agree on where a ReLU let a value pass.

// For the columns of this thread. `flags`: 1, there is a weight; 2, a bias; 4, a ReLU follows.
struct Line {
  REAL shift[VECTOR], scale[VECTOR], offset[VECTOR];
};

__device__ __forceinline__ Line line_at(i32 column, i32 channels, const double* mean,
                                        const double* inv_std, const REAL* weight,
                                        const REAL* bias, i32 flags) {
  Line line;
#pragma unroll
  for (i32 j = 0; j < VECTOR; ++j) {
    const i32 c = (column + j) % channels;
    const double scale = flags & 1 ? inv_std[c] * (double)weight[c] : inv_std[c];
    line.shift[j] = (REAL)mean[c];
    line.scale[j] = (REAL)scale;
    line.offset[j] = (REAL)((flags & 2 ? (double)bias[c] : 0.0) -
                            (mean[c] - (double)line.shift[j]) * scale);
  }
  return line;
}

__device__ __forceinline__ REAL on_line(const Line& line, i32 j, REAL x) {
  return multiply_add(x - line.shift[j], line.scale[j], line.offset[j]);
}

// max(0, z); NaN stays NaN
__device__ __forceinline__ REAL rectified(REAL z) { return z <= (REAL)0 ? (REAL)0 : z; }

// The gradient behind the ReLU, if there is one, in front of it.
__device__ __forceinline__ REAL passed(const Line& line, i32 j, REAL x, REAL dy, i32 flags) {
  return !(flags & 4) || on_line(line, j, x) > (REAL)0 ? dy : (REAL)0;
}

// dx = scale * (g + slope * (x - shift) + constant), from the sums over all `count` values of
// a channel.
struct Slope {
  REAL slope[VECTOR], constant[VECTOR];
};

__device__ __forceinline__ Slope slope_at(i32 column, i32 channels, const double* mean,
                                          const double* inv_std, const double* dweight,
                                          const double* dbias, double count) {
  Slope line;
#pragma unroll
  for (i32 j = 0; j < VECTOR; ++j) {
    const i32 c = (column + j) % channels;
    const double slope = -inv_std[c] * dweight[c] / count;
    line.slope[j] = (REAL)slope;
    line.constant[j] =
        (REAL)(-slope * (mean[c] - (double)(REAL)mean[c]) - dbias[c] / count);
  }
  return line;
}

// In evaluation the statistics do not depend on x, and dx = scale * g.
__device__ __forceinline__ REAL gradient_of(const Line& line, const Slope& slope, i32 j, REAL x,
                                            REAL g, i32 training) {
  if (!training) return line.scale[j] * g;
  return line.scale[j] *
         multiply_add(x - line.shift[j], slope.slope[j], g + slope.constant[j]);
}
