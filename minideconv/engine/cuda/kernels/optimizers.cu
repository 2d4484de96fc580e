// The steps of SGD and Adam: every array is read once and written once. optim/sgd.py and
// optim/adam.py define the letters.
//
// A step does a dozen operations for 20 or 28 bytes, so memory sets its time.
//
// What changes from step to step is given by value (sgd, adam), or is in memory (sgd_on_device,
// adam_on_device): a recorded graph starts the same launch again and again, with the same
// arguments. Then skip[0] is whether this step changes nothing, and skip[1] how many such steps
// there were.
//
// with: packs.cuh
// compile: REAL=float ACC=float
// compile: REAL=double ACC=double
// Let `step` change each weight and its MEMORIES remembered numbers, with its gradient.
template <i32 MEMORIES, typename Step>
__device__ __forceinline__ void walk(const Step& step, REAL* weight, const REAL* grad, REAL* first,
                                     REAL* second, i64 count) {
  i64 bits = address(weight) | address(grad);
  if (MEMORIES > 0) bits |= address(first);
  if (MEMORIES > 1) bits |= address(second);
  const i64 packs = packs_in(count, bits);
  GRID_STRIDE(i, packs) {
    Pack w = ((const Pack*)weight)[i], a = {}, b = {};
    const Pack g = ((const Pack*)grad)[i];
    if (MEMORIES > 0) a = ((const Pack*)first)[i];
    if (MEMORIES > 1) b = ((const Pack*)second)[i];
#pragma unroll
    for (i32 j = 0; j < LANES; ++j) step(w.at[j], g.at[j], a.at[j], b.at[j]);
    ((Pack*)weight)[i] = w;
    if (MEMORIES > 0) ((Pack*)first)[i] = a;
    if (MEMORIES > 1) ((Pack*)second)[i] = b;
  }
  const i64 done = packs * LANES;
  GRID_STRIDE(i, count - done) {
    REAL w = weight[done + i], a = 0, b = 0;
    if (MEMORIES > 0) a = first[done + i];
    if (MEMORIES > 1) b = second[done + i];
    step(w, grad[done + i], a, b);
    weight[done + i] = w;
    if (MEMORIES > 0) first[done + i] = a;
    if (MEMORIES > 1) second[done + i] = b;
  }
}

struct Sgd {
  REAL lr, undamped, momentum, decay;
  i32 nesterov;
  __device__ __forceinline__ void operator()(REAL& w, REAL g, REAL& v, REAL&) const {
    const REAL d = multiply_add(decay, w, g);
    REAL step = d;
    if (momentum != 0) {
      v = multiply_add(momentum, v, undamped * d);
      step = nesterov ? multiply_add(momentum, v, d) : v;
    }
    w = multiply_add(-lr, step, w);
  }
};

// Without momentum there is no velocity; the pointer then leads nowhere in particular.
__device__ __forceinline__ void sgd_walk(const Sgd& step, REAL* weight, const REAL* grad,
                                         REAL* velocity, i64 count) {
  if (step.momentum != 0)
    walk<1>(step, weight, grad, velocity, velocity, count);
  else
    walk<0>(step, weight, grad, velocity, velocity, count);
}

extern "C" __global__ void sgd(REAL* weight, const REAL* grad, REAL* velocity, i64 count, REAL lr,
                               REAL undamped, REAL momentum, REAL decay, i32 nesterov) {
  sgd_walk({lr, undamped, momentum, decay, nesterov}, weight, grad, velocity, count);
}

extern "C" __global__ void sgd_on_device(REAL* weight, const REAL* grad, REAL* velocity, i64 count,
                                         const float* numbers, const float* skip, REAL momentum,
                                         REAL decay, i32 nesterov) {
  if (skip[0] != 0) return;
  sgd_walk({(REAL)numbers[0], (REAL)numbers[1], momentum, decay, nesterov}, weight, grad, velocity,
           count);
}

struct Adam {
  REAL rate, least, b1, new1, b2, new2, decay, shrink;
  __device__ __forceinline__ void operator()(REAL& w, REAL g, REAL& m, REAL& v) const {
    const REAL d = multiply_add(decay, w, g);
    m = multiply_add(b1, m, new1 * d);
    v = multiply_add(b2, v, new2 * d * d);
    w = multiply_add(-rate, m / (sqrt(v) + least), shrink * w);
  }
};

extern "C" __global__ void adam(REAL* weight, const REAL* grad, REAL* mean, REAL* square, i64 count,
                                REAL rate, REAL least, REAL b1, REAL new1, REAL b2, REAL new2,
                                REAL decay, REAL shrink) {
  const Adam step = {rate, least, b1, new1, b2, new2, decay, shrink};
  walk<2>(step, weight, grad, mean, square, count);
}

// 1 - b^t = -expm1(t log b): in float, 1 - powf(b, t) would lose all but three digits for b = 0.999.
__device__ __forceinline__ REAL started(REAL t, REAL log_b) { return -expm1(t * log_b); }

extern "C" __global__ void adam_on_device(REAL* weight, const REAL* grad, REAL* mean, REAL* square,
                                          i64 count, const float* numbers, const float* skip,
                                          REAL b1, REAL new1, REAL log_b1, REAL b2, REAL new2,
                                          REAL log_b2, REAL eps, REAL decay, REAL shrinks) {
  if (skip[0] != 0) return;
  const REAL lr = (REAL)numbers[0], t = (REAL)(numbers[1] - skip[1]);
  const REAL root = sqrt(started(t, log_b2));
  const Adam step = {lr * root / started(t, log_b1), eps * root, b1, new1, b2, new2, decay,
                     1 - lr * shrinks};
  walk<2>(step, weight, grad, mean, square, count);
}
