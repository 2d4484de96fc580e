// From bytes to the numbers that networks eat, both stored channels last:
//
//     out[pixel, place] = (bytes[pixel, channel] - mean[channel]) * factor
//
// with place = channel, or 2 - channel if the colours are to be reversed. One thread for each
// number; the byte is a quarter of what is moved.
//
// compile: REAL=float ACC=float
extern "C" __global__ void normalize(const u8* __restrict__ bytes, float* __restrict__ out,
                                     float mean_0, float mean_1, float mean_2, float factor,
                                     i32 reversed, i64 count) {
  GRID_STRIDE(i, count) {
    const i32 place = (i32)(i % 3);
    const i32 channel = reversed ? 2 - place : place;
    const float mean = channel == 0 ? mean_0 : channel == 1 ? mean_1 : mean_2;
    out[i] = ((float)bytes[i - place + channel] - mean) * factor;
  }
}
