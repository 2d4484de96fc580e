// compile: REAL=float ACC=float
// What a training loop wants to know later, kept on the device: the losses of the steps since
// somebody looked.

// losses[place] += share * loss, in double as the host adds them up; the first batch of a step sets
// the sum to zero, the last one goes on to the next place. Where there is no place left, it stays.
extern "C" __global__ void add_loss(double* losses, i32* place, const REAL* loss,
                                    const REAL* share, i32 first, i32 last, i32 places) {
  GRID_STRIDE(i, 1) {
    i32 here = place[0];
    if (here < places) {
      double before = first ? 0.0 : losses[here];
      losses[here] = before + (double)loss[0] * (double)share[0];
      if (last) place[0] = here + 1;
    }
  }
}
