"use strict";
// Part 3: a canvas to draw on, the network, and what each of its layers computes.

(() => {
  const byId = (id) => document.getElementById(id);
  const controls = byId("net-controls");
  const SIDE = NETWORK.size;
  const FINE = 4; // the canvas is finer: a pixel is the mean of 4 x 4, as in the drawings of training
  const PEN = 2 * FINE;
  const SHOWN = 8; // channels of a layer
  const canvas = byId("net-ink");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  // The ink alone; the canvas that one sees has the cursor of the keyboard on it, too.
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [SIDE * FINE, SIDE * FINE];
  const ink = sheet.getContext("2d", { willReadFrequently: true });
  Object.assign(ink, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  const steps = decodeNetwork(NETWORK);
  const fc7Mean = decodeFloats(NETWORK.fc7_mean);
  const cursor = { x: 96, y: 96, down: false, shown: false };
  const SHAPES = {
    circle: { points: circle(60, 66, 40), closed: true },
    triangle: { points: [[134, 84], [178, 166], [92, 166]], closed: true },
    rectangle: { points: [[118, 20], [176, 20], [176, 62], [118, 62]], closed: true },
  };
  let strongest = null; // by layer, which channels are shown: those of the first drawing
  let waiting = false;

  function circle(x, y, r) {
    return Array.from({ length: 48 }, (_, i) => {
      const angle = (2 * Math.PI * i) / 48;
      return [x + r * Math.cos(angle), y + r * Math.sin(angle)];
    });
  }

  function line(points, closed) {
    ink.beginPath();
    points.forEach(([x, y], i) => (i ? ink.lineTo(x, y) : ink.moveTo(x, y)));
    if (closed) ink.closePath();
    if (points.length === 1) ink.lineTo(points[0][0] + 0.01, points[0][1]);
    ink.stroke();
    later();
  }

  function clear() {
    ink.clearRect(0, 0, sheet.width, sheet.height);
    later();
  }

  function example(name) {
    clear();
    for (const [shape, { points, closed }] of Object.entries(SHAPES))
      if (name === shape || name === "all") line(points, closed);
  }

  // The drawing as the network sees it: ink in [0, 1], 48 x 48.
  function inkPixels() {
    const { data } = ink.getImageData(0, 0, sheet.width, sheet.height);
    const pixels = new Float32Array(SIDE * SIDE);
    for (let y = 0; y < sheet.height; y++)
      for (let x = 0; x < sheet.width; x++) {
        const at = Math.floor(y / FINE) * SIDE + Math.floor(x / FINE);
        pixels[at] += data[4 * (y * sheet.width + x) + 3] / 255 / FINE ** 2;
      }
    return pixels;
  }

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      update();
    });
  }

  function options() {
    const switches = controls.elements.switches.value;
    return {
      fc7: controls.elements.fc7.value === "mean" ? fc7Mean : null,
      switches: switches === "other" ? otherSwitches() : switches,
    };
  }

  // The switches of the example triangle, whatever is drawn now.
  function otherSwitches() {
    if (!otherSwitches.found) {
      const kept = ink.getImageData(0, 0, sheet.width, sheet.height);
      ink.clearRect(0, 0, sheet.width, sheet.height);
      line(SHAPES.triangle.points, true);
      otherSwitches.found = forwardPass(steps, inkPixels()).switches;
      ink.putImageData(kept, 0, 0);
    }
    return otherSwitches.found;
  }

  function update() {
    const pixels = inkPixels();
    const { outputs } = forwardPass(steps, pixels, options());
    const classes = classesOf(outputs.seg_score);
    showInk();
    showClasses(classes, pixels);
    showLayers(outputs);
    canvas.dataset.done = String(Number(canvas.dataset.done || 0) + 1);
  }

  function showInk() {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(sheet, 0, 0);
    if (!cursor.shown) return;
    pen.strokeStyle = cursor.down ? "#D55E00" : "#0072B2";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(cursor.x, cursor.y, PEN, 0, 2 * Math.PI);
    pen.stroke();
  }

  const COLOURS = [[255, 255, 255], [86, 180, 233], [230, 159, 0], [0, 158, 115]];

  function showClasses(classes, pixels) {
    const context = byId("net-classes").getContext("2d");
    const image = context.createImageData(SIDE, SIDE);
    classes.forEach((k, at) => {
      const dark = 1 - 0.75 * pixels[at]; // the ink stays visible
      COLOURS[k].forEach((value, channel) => (image.data[4 * at + channel] = value * dark));
      image.data[4 * at + 3] = 255;
    });
    context.putImageData(image, 0, 0);
    const counts = NETWORK.classes.map((_, k) => classes.filter((c) => c === k).length);
    byId("net-legend")
      .querySelectorAll("b")
      .forEach((cell, k) => (cell.textContent = counts[k]));
    const said = NETWORK.classes.map((name, k) => `${name} ${counts[k]}`).slice(1);
    byId("net-readout").textContent = `Pixels: ${said.join(", ")}.`;
  }

  // Colours from dark to light whose brightness grows evenly, for all kinds of colour vision.
  function shade(value) {
    const stops = [[0, 32, 77], [62, 74, 108], [124, 123, 120], [188, 175, 111], [255, 234, 70]];
    const at = Math.max(0, Math.min(1, value)) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((start, i) => start + (stops[low + 1][i] - start) * (at - low));
  }

  const TEXT = {
    pool: "the largest of each 2 × 2, and its switch",
    unpool: "each value at its switch, zeros elsewhere",
    conv: "convolution",
    conv_transpose: "transposed convolution",
  };

  function makeLayers() {
    for (const step of NETWORK.steps) {
      const figure = document.createElement("figure");
      const [caption, picture] = ["figcaption", "canvas"].map((tag) => document.createElement(tag));
      picture.setAttribute("role", "img");
      figure.append(caption, picture);
      figure.id = `layer-${step.name}`;
      byId("net-layers").append(figure);
    }
  }

  function showLayers(outputs) {
    strongest ||= Object.fromEntries(Object.entries(outputs).map(([name, map]) => [name, pick(map)]));
    for (const step of NETWORK.steps) {
      const map = outputs[step.name];
      const [caption, picture] = byId(`layer-${step.name}`).children;
      const vector = map.height === 1;
      const channels = vector ? [...Array(map.channels).keys()] : strongest[step.name];
      const text = step.name === "seg_score" ? `scores of ${NETWORK.classes.join(", ")}` : TEXT[step.kind];
      const few = vector || channels.length === map.channels ? "" : `, ${channels.length} shown`;
      caption.innerHTML = `<b>${step.name}</b> ${text}. ${map.channels} channel${map.channels > 1 ? "s" : ""} of ${map.height} × ${map.width}${few}`;
      picture.setAttribute("aria-label", `Activations of ${step.name}`);
      if (vector) drawVector(picture, map);
      else drawChannels(picture, map, channels);
    }
  }

  // The channels with the largest sums, in order.
  function pick(map) {
    const plane = map.height * map.width;
    const sum = (k) => map.data.subarray(k * plane, (k + 1) * plane).reduce((a, b) => a + b, 0);
    const order = Array.from({ length: map.channels }, (_, k) => k).sort((a, b) => sum(b) - sum(a));
    return order.slice(0, SHOWN).sort((a, b) => a - b);
  }

  function drawChannels(picture, map, channels) {
    const [gap, plane] = [1, map.height * map.width];
    picture.width = channels.length * (map.width + gap) - gap;
    picture.height = map.height;
    picture.style.setProperty("--share", channels.length / SHOWN);
    paint(picture, (x, y) => {
      const [number, column] = [Math.floor(x / (map.width + gap)), x % (map.width + gap)];
      return column < map.width ? map.data[channels[number] * plane + y * map.width + column] : null;
    });
  }

  function drawVector(picture, map) {
    const rows = 4;
    picture.width = map.channels / rows;
    picture.height = rows;
    picture.style.setProperty("--share", 1);
    paint(picture, (x, y) => map.data[y * picture.width + x]);
  }

  function paint(picture, valueAt) {
    const context = picture.getContext("2d");
    const image = context.createImageData(picture.width, picture.height);
    const values = [];
    for (let y = 0; y < picture.height; y++)
      for (let x = 0; x < picture.width; x++) values.push(valueAt(x, y));
    const most = Math.max(...values.filter((value) => value !== null), 1e-6);
    values.forEach((value, at) => {
      if (value === null) return;
      image.data.set([...shade(value / most), 255], 4 * at);
    });
    context.putImageData(image, 0, 0);
  }

  function makeTexts() {
    byId("net-drawings").textContent = NETWORK.drawings;
    for (const place of document.querySelectorAll(".net-tests")) place.textContent = NETWORK.test_drawings;
    byId("net-legend").innerHTML = NETWORK.classes
      .map((name, k) => `<li><i style="background: rgb(${COLOURS[k]})"></i>${name}: <b>0</b> pixels</li>`)
      .join("");
    const heads = ["fc7", "switches", "mean IoU", ...NETWORK.classes];
    const words = { own: "of the drawing", mean: "off (mean)", corner: "off (upper left)" };
    const rows = NETWORK.measured.map((row) => [
      words[row.fc7], words[row.switches], ...[row.mean, ...row.classes].map((v) => v.toFixed(3)),
    ]);
    const line = (cells, tag) => `<tr>${cells.map((c) => `<${tag}>${c}</${tag}>`).join("")}</tr>`;
    byId("net-table").innerHTML = line(heads, "th") + rows.map((row) => line(row, "td")).join("");
  }

  function position(event) {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    cursor.shown = false;
    last = position(event);
    line([last], false);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const here = position(event);
    line([last, here], false);
    last = here;
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => (last = null));

  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    cursor.shown = true;
    const from = [cursor.x, cursor.y];
    if (!move) cursor.down = !cursor.down;
    else {
      cursor.x = Math.max(4, Math.min(188, cursor.x + 4 * move[0]));
      cursor.y = Math.max(4, Math.min(188, cursor.y + 4 * move[1]));
    }
    if (cursor.down) line([from, [cursor.x, cursor.y]], false);
    later();
  });
  canvas.addEventListener("blur", () => {
    Object.assign(cursor, { shown: false, down: false });
    later();
  });

  for (const button of controls.querySelectorAll("[data-example]"))
    button.addEventListener("click", () => example(button.dataset.example));
  byId("net-clear").addEventListener("click", clear);
  controls.addEventListener("input", later);
  controls.addEventListener("submit", (event) => event.preventDefault());
  makeTexts();
  makeLayers();
  example("all");
})();
