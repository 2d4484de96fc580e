// What stands between batch normalisation's walks over memory: from the parts' sums to the numbers
// of a channel. RUNNING is the type of the running averages.
//
// with: pixels.cuh
// with: channel_sums.cuh
// compile: REAL=float ACC=float RUNNING=float
// compile: REAL=double ACC=double RUNNING=double
// compile: REAL=double ACC=double RUNNING=float
#ifndef RUNNING
#define RUNNING REAL
#endif

// From a channel's moments: what normalises it, and if `follow` the running averages, with the
// unbiased variance.
__device__ __forceinline__ void keep_statistics(i32 channel, double mean, double var,
                                                double count, double eps, i32 follow,
                                                double momentum, RUNNING* running_mean,
                                                RUNNING* running_var, double* inv_std) {
  inv_std[channel] = 1.0 / sqrt(var + eps);
  if (!follow) return;
  const RUNNING keep = (RUNNING)(1.0 - momentum);
  running_mean[channel] = running_mean[channel] * keep + (RUNNING)(momentum * mean);
  running_var[channel] =
      running_var[channel] * keep + (RUNNING)(momentum * (var * (count / (count - 1.0))));
}

// Mean and variance from the sums of d = x - x0 and of d squared; x begins with every channel's x0.
__device__ __forceinline__ i32 moments_of(const double* totals, i32 parts, i32 channels,
                                          const REAL* x, double count, double* scratch,
                                          double& mean, double& var) {
  double sum[2];
  const i32 channel = add_parts<2>(totals, parts, channels, scratch, sum);
  if (channel < 0) return channel;
  const double d = sum[0] / count;
  mean = (double)x[channel] + d;
  var = sum[1] / count - d * d;
  if (var < 0) var = 0;
  return channel;
}

extern "C" __global__ void finish_moments(const double* __restrict__ totals, i32 parts,
                                          i32 channels, const REAL* __restrict__ x, double count,
                                          double* __restrict__ means,
                                          double* __restrict__ variances) {
  __shared__ double scratch[2 * THREADS];
  double mean, var;
  const i32 channel = moments_of(totals, parts, channels, x, count, scratch, mean, var);
  if (channel < 0) return;
  means[channel] = mean;
  variances[channel] = var;
}

extern "C" __global__ void finish_statistics(const double* __restrict__ totals, i32 parts,
                                             i32 channels, const REAL* __restrict__ x,
                                             double count, double eps, i32 follow,
                                             double momentum, RUNNING* __restrict__ running_mean,
                                             RUNNING* __restrict__ running_var,
                                             double* __restrict__ means,
                                             double* __restrict__ inv_std) {
  __shared__ double scratch[2 * THREADS];
  double mean, var;
  const i32 channel = moments_of(totals, parts, channels, x, count, scratch, mean, var);
  if (channel < 0) return;
  means[channel] = mean;
  keep_statistics(channel, mean, var, count, eps, follow, momentum, running_mean, running_var,
                  inv_std);
}

// From the moments of several processes, a row for each: how many values, every channel's mean,
// every channel's squares about it. One after the other, so that all of them get the same bits.
extern "C" __global__ void merge_moments(const double* __restrict__ rows, i32 processes,
                                         i32 channels, double eps, i32 follow, double momentum,
                                         RUNNING* __restrict__ running_mean,
                                         RUNNING* __restrict__ running_var,
                                         double* __restrict__ means,
                                         double* __restrict__ inv_std,
                                         double* __restrict__ total) {
  const i64 width = 1 + 2 * (i64)channels;
  GRID_STRIDE(channel, channels) {
    double count = 0, sum = 0, squares = 0;
    for (i32 r = 0; r < processes; ++r) {
      const double* row = rows + r * width;
      count += row[0];
      sum += row[0] * row[1 + channel];
    }
    const double mean = sum / count;
    for (i32 r = 0; r < processes; ++r) {
      const double* row = rows + r * width;
      const double d = row[1 + channel] - mean;
      squares += row[1 + channels + channel] + row[0] * d * d;
    }
    means[channel] = mean;
    keep_statistics((i32)channel, mean, squares / count, count, eps, follow, momentum,
                    running_mean, running_var, inv_std);
    if (channel == 0) total[0] = count;
  }
}

extern "C" __global__ void from_running(const RUNNING* __restrict__ running_mean,
                                        const RUNNING* __restrict__ running_var, i32 channels,
                                        double eps, double* __restrict__ means,
                                        double* __restrict__ inv_std) {
  GRID_STRIDE(channel, channels) {
    means[channel] = (double)running_mean[channel];
    inv_std[channel] = 1.0 / sqrt((double)running_var[channel] + eps);
  }
}

// From the sums of g and of g (x - shift), shift the mean as REAL: dweight and dbias, as double for
// what follows and as REAL for the optimiser.
extern "C" __global__ void finish_gradient_sums(const double* __restrict__ totals, i32 parts,
                                                i32 channels, const double* __restrict__ mean,
                                                const double* __restrict__ inv_std,
                                                double* __restrict__ dweight,
                                                double* __restrict__ dbias,
                                                REAL* __restrict__ dweight_real,
                                                REAL* __restrict__ dbias_real) {
  __shared__ double scratch[2 * THREADS];
  double sum[2];
  const i32 channel = add_parts<2>(totals, parts, channels, scratch, sum);
  if (channel < 0) return;
  const double error = mean[channel] - (double)(REAL)mean[channel];
  dweight[channel] = (sum[1] - error * sum[0]) * inv_std[channel];
  dbias[channel] = sum[0];
  dweight_real[channel] = (REAL)dweight[channel];
  dbias_real[channel] = (REAL)sum[0];
}

extern "C" __global__ void finish_sums(const double* __restrict__ totals, i32 parts, i32 channels,
                                       REAL* __restrict__ y) {
  __shared__ double scratch[THREADS];
  double sum[1];
  const i32 channel = add_parts<1>(totals, parts, channels, scratch, sum);
  if (channel >= 0) y[channel] = (REAL)sum[0];
}
