// What stands beside a product of matrices: its factors in its own type, and the bias behind it.
//
// with: factors.cuh
// compile: REAL=float ACC=float FACTOR=float VECTOR=1
// compile: REAL=float ACC=float FACTOR=float VECTOR=4
// compile: REAL=double ACC=double FACTOR=double VECTOR=1
// compile: REAL=double ACC=double FACTOR=double VECTOR=2
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_bfloat16 VECTOR=1
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_bfloat16 VECTOR=4
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_bfloat16 VECTOR=8
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_half VECTOR=1
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_half VECTOR=4
// compile: REAL=float ACC=float FACTOR=u16 ROUND=to_half VECTOR=8

// The factors of a product in the product's type, where they need no patch matrix.
extern "C" __global__ void round_factors(const REAL* __restrict__ values,
                                         FACTOR* __restrict__ factors, i64 count) {
  GRID_STRIDE(i, count / VECTOR) {
    ((Factors*)factors)[i] = rounded(((const Reals*)values)[i]);
  }
}

// y (rows, channels) += bias
extern "C" __global__ void add_bias(REAL* __restrict__ y, const REAL* __restrict__ bias, i64 rows,
                                    i32 channels) {
  const i32 vectors = channels / VECTOR;
  GRID_STRIDE(i, rows * vectors) {
    Reals values = ((const Reals*)y)[i];
    const REAL* wanted = bias + i % vectors * VECTOR;
#pragma unroll
    for (i32 k = 0; k < VECTOR; ++k) values.at[k] += wanted[k];
    ((Reals*)y)[i] = values;
  }
}
