"use strict";
// The small DeconvNet, computed. Weights are in weights.js, which docs/_ext/play_network.py writes;
// its function `forward` computes the same with the library, and tests/play compares the two.
//
// A map is { channels, height, width, data: Float32Array }.

function decodeBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

function decodeFloats(text) {
  return new Float32Array(decodeBytes(text));
}

// The steps with weights as floats: a signed byte times the scale of its output channel.
function decodeNetwork(network) {
  return network.steps.map((step) => {
    if (!step.weight) return step;
    const [first, second, kh, kw] = step.shape;
    const [levels, scale] = [new Int8Array(decodeBytes(step.weight)), decodeFloats(step.scale)];
    const weight = Float32Array.from(levels, (level, at) => {
      const plane = Math.floor(at / (kh * kw));
      const output = step.kind === "conv" ? Math.floor(plane / second) : plane % second;
      return level * scale[output];
    });
    return { ...step, weight, bias: decodeFloats(step.bias) };
  });
}

function emptyMap(channels, height, width) {
  return { channels, height, width, data: new Float32Array(channels * height * width) };
}

// Convolution and transposed convolution of stride 1. Tap (i, j) adds the whole input channel, times
// one weight, to an output channel: moved by (p - i, p - j), and by (i - p, j - p) for the transpose.
function convolve(x, step) {
  const transposed = step.kind === "conv_transpose";
  const [first, second, kh, kw] = step.shape;
  const outputs = transposed ? second : first;
  const grow = (n, k) => (transposed ? n + k - 1 - 2 * step.padding : n - k + 1 + 2 * step.padding);
  const y = emptyMap(outputs, grow(x.height, kh), grow(x.width, kw));
  for (let o = 0; o < outputs; o++) {
    const plane = y.height * y.width;
    y.data.fill(step.bias[o], o * plane, (o + 1) * plane);
    for (let c = 0; c < x.channels; c++)
      for (let i = 0; i < kh; i++)
        for (let j = 0; j < kw; j++) {
          const at = transposed ? c * second + o : o * second + c;
          const weight = step.weight[(at * kh + i) * kw + j];
          const [down, right] = [i - step.padding, j - step.padding];
          if (transposed) addMoved(y, o, x, c, weight, down, right);
          else addMoved(y, o, x, c, weight, -down, -right);
        }
  }
  return y;
}

function addMoved(y, o, x, c, weight, down, right) {
  const left = Math.max(0, -right);
  const stop = Math.min(x.width, y.width - right);
  for (let row = Math.max(0, -down); row < Math.min(x.height, y.height - down); row++) {
    const from = (c * x.height + row) * x.width;
    const to = (o * y.height + row + down) * y.width + right;
    for (let column = left; column < stop; column++)
      y.data[to + column] += weight * x.data[from + column];
  }
}

// Max pooling by windows of 2 x 2: the smaller map, and the switches (index into the whole map).
function pool2(x) {
  const y = emptyMap(x.channels, x.height >> 1, x.width >> 1);
  const switches = new Int32Array(y.data.length);
  for (let at = 0; at < switches.length; at++) {
    const corner = cornerOf(at, x);
    let best = corner;
    for (const pixel of [corner + 1, corner + x.width, corner + x.width + 1])
      if (x.data[pixel] > x.data[best]) best = pixel;
    switches[at] = best;
    y.data[at] = x.data[best];
  }
  return [y, switches];
}

// The upper left pixel of a window of 2 x 2 in the map x.
function cornerOf(at, x) {
  const [height, width] = [x.height >> 1, x.width >> 1];
  const [channel, row, column] = [
    Math.floor(at / (height * width)),
    Math.floor(at / width) % height,
    at % width,
  ];
  return (channel * x.height + 2 * row) * x.width + 2 * column;
}

// What every step computes, by name, and the switches of each pooling. Options: `fc7`, values that take
// the place of fc7's; `switches`, "own", "corner" (the upper left pixel of each window) or those that
// another drawing gave.
function forwardPass(steps, ink, options = {}) {
  const side = Math.sqrt(ink.length);
  let x = { channels: 1, height: side, width: side, data: Float32Array.from(ink) };
  const [outputs, switches, before] = [{}, {}, {}];
  for (const step of steps) {
    if (step.kind === "pool") {
      before[step.level] = x;
      [x, switches[step.level]] = pool2(x);
    } else if (step.kind === "unpool") {
      const large = before[step.level];
      const y = emptyMap(x.channels, large.height, large.width);
      const own = switches[step.level];
      const other = typeof options.switches === "object" ? options.switches[step.level] : own;
      x.data.forEach((value, at) => {
        y.data[options.switches === "corner" ? cornerOf(at, large) : other[at]] = value;
      });
      x = y;
    } else {
      x = convolve(x, step);
      if (step.relu) x.data.forEach((value, at) => (x.data[at] = Math.max(0, value)));
    }
    if (step.name === "fc7" && options.fc7) x = { ...x, data: Float32Array.from(options.fc7) };
    outputs[step.name] = x;
  }
  return { outputs, switches };
}

// Each pixel's class: the largest score.
function classesOf(scores) {
  const pixels = scores.height * scores.width;
  return Uint8Array.from({ length: pixels }, (_, at) => {
    let best = 0;
    for (let k = 1; k < scores.channels; k++)
      if (scores.data[k * pixels + at] > scores.data[best * pixels + at]) best = k;
    return best;
  });
}
