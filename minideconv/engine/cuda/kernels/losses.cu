// compile: REAL=float ACC=float
// The losses of the steps of a training loop since they were last read, kept on the device.

// losses[step_index] += weight * loss, in double as the host adds them up; the first batch of a
// step sets the sum to zero, the last one goes on to the next place. Where there is no place left,
// it stays.
extern "C" __global__ void add_loss(double* losses, i32* step_index, const REAL* loss,
                                    const REAL* weight, i32 first, i32 last, i32 places) {
  GRID_STRIDE(i, 1) {
    i32 here = step_index[0];
    if (here < places) {
      double before = first ? 0.0 : losses[here];
      losses[here] = before + (double)loss[0] * (double)weight[0];
      if (last) step_index[0] = here + 1;
    }
  }
}
