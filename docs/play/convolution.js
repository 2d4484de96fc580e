"use strict";
// Part 1: the sliders, the four grids and the two matrices of a convolution or its transpose.

(() => {
  const byId = (id) => document.getElementById(id);
  const controls = byId("conv-controls");
  const field = (name) => controls.elements[name];
  const KERNEL = 4; // the kernel's largest side; its weights stay when it shrinks and grows again
  const NUMBERS = [2, 0, 1, 3, 1, 0, 3, 1, 0, 2, 2, 1];
  const weights = Array.from({ length: KERNEL }, (_, i) =>
    Array.from({ length: KERNEL }, (_, j) => ((2 * i + j) % 4) + 1),
  );

  const input = new Grid(byId("conv-input"), (index) => choose("input", index));
  const output = new Grid(byId("conv-output"), (index) => choose("output", index));
  const counts = new Grid(byId("conv-overlaps"), (index) => choose("output", index));
  const matrix = new MatrixPicture(byId("conv-matrix"), (row) => choose("output", row));
  const transpose = new MatrixPicture(byId("conv-transpose"), (row) => choose("input", row));
  let state = null; // what is shown: geometry, its meetings, and the numbers
  let chosen = { side: "output", index: 0 };

  function geometry() {
    const value = (name) => Number(field(name).value);
    return {
      transposed: field("operation").value === "transposed",
      size: [value("height"), value("width")],
      kernel: [value("kernelHeight"), value("kernelWidth")],
      stride: value("stride"),
      padding: value("padding"),
      dilation: value("dilation"),
      outputPadding: value("outputPadding"),
    };
  }

  // Sliders whose range depends on others: a transposed convolution enlarges, so that its input is
  // smaller, and output padding is legal below the larger of stride and dilation.
  function limit() {
    const transposed = field("operation").value === "transposed";
    for (const name of ["height", "width"]) {
      field(name).min = transposed ? 1 : 2;
      field(name).max = transposed ? 4 : 6;
    }
    const most = Math.max(Number(field("stride").value), Number(field("dilation").value)) - 1;
    field("outputPadding").max = transposed ? most : 0;
    field("outputPadding").disabled = !transposed || most === 0;
    for (const range of controls.querySelectorAll("input[type=range]"))
      range.parentElement.querySelector("output").textContent = range.value;
  }

  function update() {
    limit();
    const g = geometry();
    const wrong = problem(g);
    byId("conv-problem").hidden = !wrong;
    byId("conv-problem").textContent = wrong;
    for (const id of ["conv-panels", "conv-matrices", "conv-readout", "conv-evenness"])
      byId(id).hidden = Boolean(wrong);
    byId("conv-formula").innerHTML = formulas(g);
    drawKernel(g);
    if (wrong) return;

    const size = outputSize(g);
    const [inputs, outputs] = [g.size[0] * g.size[1], size[0] * size[1]];
    const kernel = kernelOf(g);
    const list = entries(g);
    const x = Array.from({ length: inputs }, (_, i) => inputValue(i, inputs));
    const y = multiply(list, kernel, x, outputs);
    state = { g, size, kernel, x, y, list, all: meetings(g), overlaps: overlaps(list, outputs) };
    const large = g.padding; // of the border around the larger picture
    const [around, outside] = g.transposed ? [0, large] : [large, 0];
    byId("conv-input-note").hidden = !around;
    byId("conv-output-note").hidden = !outside;
    input.reserve(g.size[1] + 2 * around);
    for (const grid of [output, counts]) grid.reserve(size[1] + 2 * outside);
    input.draw(g.size, around, (i) => x[i], "input pixel");
    output.draw(size, outside, (i) => y[i], "output pixel");
    counts.draw(size, outside, (i) => state.overlaps[i], "overlap count of output pixel");
    shadeCounts();
    byId("conv-input-size").textContent = `${g.size[0]} × ${g.size[1]}`;
    byId("conv-output-size").textContent = `${size[0]} × ${size[1]}`;
    drawMatrices(inputs, outputs);
    const count = { input: inputs, output: outputs };
    chosen.index = Math.min(chosen.index, count[chosen.side] - 1);
    choose(chosen.side, chosen.index);
  }

  function inputValue(index, inputs) {
    const kind = field("input").value;
    if (kind === "ones") return 1;
    if (kind === "one") return index === Math.floor(inputs / 2) ? 1 : 0;
    return NUMBERS[(index * 5) % NUMBERS.length];
  }

  function kernelOf(g) {
    return weights.slice(0, g.kernel[0]).flatMap((row) => row.slice(0, g.kernel[1]));
  }

  function formulas(g) {
    const size = outputSize(g);
    const line = (axis, out, n, k) => {
      const [size_, taps, s, p, d, o] = [
        g.size[axis], g.kernel[axis], g.stride, g.padding, g.dilation, g.outputPadding,
      ];
      return g.transposed
        ? `${out} = (${n} − 1)·<i>s</i> − 2·<i>p</i> + <i>d</i>·(${k} − 1) + 1 + <i>o</i>` +
            ` = (${size_} − 1)·${s} − 2·${p} + ${d}·(${taps} − 1) + 1 + ${o} = <b>${size[axis]}</b>`
        : `${out} = ⌊(${n} + 2·<i>p</i> − <i>d</i>·(${k} − 1) − 1) / <i>s</i>⌋ + 1` +
            ` = ⌊(${size_} + 2·${p} − ${d}·(${taps} − 1) − 1) / ${s}⌋ + 1 = <b>${size[axis]}</b>`;
    };
    const note = g.transposed ? "" : " <small>(⌊ ⌋: rounded down)</small>";
    return (
      `Output height ${line(0, "<i>H</i>′", "<i>H</i>", "<i>kh</i>")}<br>` +
      `Output width ${line(1, "<i>W</i>′", "<i>W</i>", "<i>kw</i>")}${note}`
    );
  }

  // The kernel's fields: made anew when its size changes only, so that typing goes on undisturbed.
  function drawKernel(g) {
    const box = byId("conv-kernel");
    const shape = g.kernel.join("x");
    if (box.dataset.shape === shape) return;
    box.dataset.shape = shape;
    box.style.setProperty("--columns", g.kernel[1]);
    box.replaceChildren();
    for (let i = 0; i < g.kernel[0]; i++)
      for (let j = 0; j < g.kernel[1]; j++) box.append(tapField(i, j, i * g.kernel[1] + j));
  }

  function tapField(i, j, tap) {
    const label = document.createElement("label");
    label.className = "tap";
    label.style.setProperty("--tap", `var(--tap-${tap % TAP_COLOURS})`);
    const number = document.createElement("input");
    Object.assign(number, { type: "number", min: -9, max: 9, step: 1, value: weights[i][j] });
    number.setAttribute("aria-label", `tap ${tap + 1}, row ${i}, column ${j}`);
    const set = (value) => {
      weights[i][j] = Math.max(-9, Math.min(9, Math.round(value) || 0));
      update();
    };
    number.addEventListener("input", () => set(Number(number.value)));
    number.addEventListener("change", () => (number.value = weights[i][j]));
    onDrag(number, () => weights[i][j], (value) => {
      set(value);
      number.value = weights[i][j];
    });
    const name = document.createElement("span");
    name.textContent = tap + 1;
    label.append(name, number);
    return label;
  }

  function shadeCounts() {
    const most = Math.max(...state.overlaps, 1);
    const least = Math.min(...state.overlaps);
    state.overlaps.forEach((count, i) => {
      counts.cell(i).style.setProperty("--level", most === least ? 0.35 : count / most);
      counts.cell(i).classList.add("count");
    });
    const spread = `${least} to ${most} taps reach an output pixel`;
    let text = least === most ? `Every output pixel is reached by ${most} tap${most > 1 ? "s" : ""}.` : `${spread}.`;
    if (state.g.transposed && state.g.stride > 1 && least !== most)
      text +=
        " An input and a kernel of equal numbers would come out with these counts as a pattern: where it repeats" +
        " across the middle, it is called a checkerboard. Where the kernel's height and width are multiples of the" +
        " stride, and the dilation is 1, the counts are even but for the border.";
    byId("conv-evenness").textContent = text;
  }

  function drawMatrices(inputs, outputs) {
    const cells = state.list.map((e) => ({ row: e.output, column: e.input, tap: e.tap }));
    const turned = cells.map((c) => ({ row: c.column, column: c.row, tap: c.tap }));
    const [own, other] = state.g.transposed
      ? ["transposed convolution", "convolution"]
      : ["convolution", "transposed convolution"];
    byId("conv-matrix-title").textContent = `The matrix of this ${own}, ${outputs} × ${inputs}`;
    byId("conv-transpose-title").textContent = `Its transpose, ${inputs} × ${outputs}`;
    byId("conv-transpose-note").textContent = `the ${other} with the same kernel. It is no inverse.`;
    matrix.draw(outputs, inputs, cells, `Matrix of ${outputs} rows and ${inputs} columns`);
    transpose.draw(inputs, outputs, turned, `Transpose of ${inputs} rows and ${outputs} columns`);
  }

  // Light up what belongs to a pixel: the stamp of an input pixel, the window of an output pixel.
  function choose(side, index) {
    chosen = { side, index };
    const { g, all, size, x, y, kernel } = state;
    const mine = all.filter((m) => (side === "output" || m.inside) && m[side] === index && belongs(m, side));
    const ofInput = side === "input";
    const [from, to] = ofInput ? [input, output] : [output, input];
    const toSize = ofInput ? size : g.size;
    const toLarge = ofInput === g.transposed; // whether the other picture is the larger one
    const lit = new Map();
    for (const m of mine) {
      const other = ofInput ? m.output : m.input;
      const at = toLarge ? [m.row, m.column] : [Math.floor(other / toSize[1]), other % toSize[1]];
      lit.set(at.join(), m.tap);
    }
    from.light(new Map(), index);
    to.light(lit, -1);
    counts.light(ofInput ? lit : new Map(), ofInput ? -1 : index);
    matrix.show(ofInput ? "column" : "row", index);
    transpose.show(ofInput ? "row" : "column", index);
    byId("conv-readout").textContent = ofInput ? stampText() : windowText();

    function place(i, [, width]) {
      return `(row ${Math.floor(i / width)}, column ${i % width})`;
    }
    function stampText() {
      const reached = mine.filter((m) => m.inside).length;
      const outside = mine.length - reached;
      return (
        `Input pixel ${place(index, g.size)} is ${x[index]}. Its stamp reaches ${reached} output ` +
        `pixel${reached === 1 ? "" : "s"}, each by the tap shown there` +
        `${outside ? `; ${outside} more are cut off by the padding` : ""}. ` +
        `Column ${index} of the matrix holds its weights, and row ${index} of the transpose.`
      );
    }
    function windowText() {
      const inside = mine.filter((m) => m.inside);
      const products = inside.map((m) => `${kernel[m.tap]}·${x[m.input]}`).join(" + ") || "nothing";
      const padded = mine.length - inside.length;
      return (
        `Output pixel ${place(index, size)}: ${products} = ${y[index]}` +
        `${padded ? `; ${padded} taps of its window meet padding, which is 0` : ""}. ` +
        `Row ${index} of the matrix holds the first factors.`
      );
    }
  }

  // Outside the larger picture a meeting's index there means nothing; only the small one's counts.
  function belongs(meeting, side) {
    return meeting.inside || (side === "input") === state.g.transposed;
  }

  controls.addEventListener("input", update);
  controls.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("resize", update);
  update();
})();
