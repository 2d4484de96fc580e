"use strict";
// The arithmetic of the page, without anything to look at. tests/play compares it with minideconv.ops
// for every position of the sliders.
//
// A geometry is { transposed, size: [H, W], kernel: [kh, kw], stride, padding, dilation,
// outputPadding }. A convolution and its transpose join the pixels of a large and a small picture:
// tap (i, j) at the small pixel (r, c) meets the large pixel
//     (r * stride - padding + i * dilation,  c * stride - padding + j * dilation).
// The convolution reads the large picture and writes the small one; the transpose does the reverse.

function span(kernel, dilation) {
  return dilation * (kernel - 1) + 1; // pixels from the first tap to the last
}

// The output's [H', W']. Where it is not positive the geometry is impossible: see problem().
function outputSize(g) {
  return [0, 1].map((axis) => {
    const [n, k] = [g.size[axis], g.kernel[axis]];
    return g.transposed
      ? (n - 1) * g.stride - 2 * g.padding + span(k, g.dilation) + g.outputPadding
      : Math.floor((n + 2 * g.padding - span(k, g.dilation)) / g.stride) + 1;
  });
}

// Why a geometry is impossible, in one sentence; "" if it is possible.
function problem(g) {
  const out = outputSize(g);
  for (const [axis, name] of [[0, "height"], [1, "width"]]) {
    if (out[axis] >= 1) continue;
    return g.transposed
      ? `The output would be ${out[axis]} pixels of ${name}; use a smaller padding.`
      : `The kernel spans ${span(g.kernel[axis], g.dilation)} pixels of ${name}, but the padded ` +
          `input has only ${g.size[axis] + 2 * g.padding}.`;
  }
  return "";
}

// All meetings of taps and pixels: tap, small pixel, large row and column, and whether that is
// inside the large picture or in its padding.
function meetings(g) {
  const out = outputSize(g);
  const [small, large] = g.transposed ? [g.size, out] : [out, g.size];
  const found = [];
  for (let r = 0; r < small[0]; r++)
    for (let c = 0; c < small[1]; c++)
      for (let i = 0; i < g.kernel[0]; i++)
        for (let j = 0; j < g.kernel[1]; j++) {
          const row = r * g.stride - g.padding + i * g.dilation;
          const column = c * g.stride - g.padding + j * g.dilation;
          const inside = row >= 0 && row < large[0] && column >= 0 && column < large[1];
          const [s, l] = [r * small[1] + c, row * large[1] + column];
          const [input, output] = g.transposed ? [s, l] : [l, s];
          found.push({ tap: i * g.kernel[1] + j, small: s, row, column, inside, input, output });
        }
  return found;
}

// The entries of the matrix: what is inside. Row `output`, column `input`, value kernel[tap].
function entries(g) {
  return meetings(g).filter((meeting) => meeting.inside);
}

// The output: the matrix times the input.
function multiply(list, kernel, input, outputs) {
  const y = new Array(outputs).fill(0);
  for (const e of list) y[e.output] += kernel[e.tap] * input[e.input];
  return y;
}

// How many taps reach each output pixel: the entries of each row, counted.
function overlaps(list, outputs) {
  const counts = new Array(outputs).fill(0);
  for (const e of list) counts[e.output] += 1;
  return counts;
}

// Max pooling: each window's largest value, its switch (the index of that pixel), and the pixels that
// hold the same value. The first of equals, in reading order, wins.
function maxPool(x, [height, width], kernel, stride) {
  const size = [height, width].map((n) => Math.floor((n - kernel) / stride) + 1);
  const [values, switches, ties] = [[], [], []];
  for (let r = 0; r < size[0]; r++)
    for (let c = 0; c < size[1]; c++) {
      const window = windowPixels(r, c, width, kernel, stride);
      const best = Math.max(...window.map((pixel) => x[pixel]));
      const equal = window.filter((pixel) => x[pixel] === best);
      values.push(best);
      switches.push(equal[0]);
      ties.push(equal);
    }
  return { size, values, switches, ties };
}

function windowPixels(row, column, width, kernel, stride) {
  const pixels = [];
  for (let i = 0; i < kernel; i++)
    for (let j = 0; j < kernel; j++)
      pixels.push((row * stride + i) * width + column * stride + j);
  return pixels;
}

// Max unpooling: every value at its switch, zeros elsewhere. Where two windows chose one pixel the
// later value stays ("assign"), or both are added ("add").
function maxUnpool(values, switches, pixels, duplicates) {
  const x = new Array(pixels).fill(0);
  values.forEach((value, i) => {
    x[switches[i]] = duplicates === "add" ? x[switches[i]] + value : value;
  });
  return x;
}
