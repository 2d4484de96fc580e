"use strict";
// Part 2: a picture whose pixels can be dragged, its pooling, and what unpooling makes of that.

(() => {
  const byId = (id) => document.getElementById(id);
  const controls = byId("pool-controls");
  const field = (name) => controls.elements[name];
  const SIZE = [6, 6];
  const MOST = 20;
  const picture = [
    3, 7, 1, 4, 0, 2, 5, 6, 2, 4, 8, 1, 1, 0, 9, 3, 2, 2, 4, 2, 5, 8, 6, 2, 0, 3, 1, 6, 7, 5, 2, 1, 4, 3, 0, 9,
  ];
  const otherPicture = [
    9, 1, 0, 5, 3, 6, 2, 4, 7, 2, 1, 0, 0, 8, 3, 1, 7, 4, 6, 2, 5, 9, 1, 0, 3, 5, 4, 0, 2, 1, 1, 7, 8, 2, 6, 3,
  ];
  const shown = new Grid(byId("pool-picture"), (index) => choose("picture", index));
  const other = new Grid(byId("pool-other"), () => {});
  const pooled = new Grid(byId("pool-pooled"), (index) => choose("window", index));
  const unpooled = new Grid(byId("pool-unpooled"), (index) => choose("picture", index));
  let state = null;
  let chosen = { side: "picture", index: 0 };

  function update() {
    for (const range of controls.querySelectorAll("input[type=range]"))
      range.parentElement.querySelector("output").textContent = range.value;
    const [kernel, stride] = [Number(field("kernel").value), Number(field("stride").value)];
    const own = maxPool(picture, SIZE, kernel, stride);
    const others = maxPool(otherPicture, SIZE, kernel, stride);
    const useOther = field("switches").value === "other";
    const switches = (useOther ? others : own).switches;
    const back = maxUnpool(own.values, switches, picture.length, field("duplicates").value);
    const jump = state && state.kernel === kernel && state.stride === stride ? jumped(own) : "";
    state = { kernel, stride, own, switches, useOther, back };
    byId("pool-other-panel").hidden = !useOther;
    for (const grid of [shown, other, unpooled]) grid.reserve(SIZE[1]);
    pooled.reserve(own.size[1]);
    shown.draw(SIZE, 0, (i) => picture[i], "pixel");
    if (useOther) other.draw(SIZE, 0, (i) => otherPicture[i], "pixel of another picture");
    pooled.draw(own.size, 0, (i) => own.values[i], "pooled value");
    unpooled.draw(SIZE, 0, (i) => back[i], "unpooled pixel");
    own.switches.forEach((pixel) => shown.cell(pixel).classList.add("winner"));
    if (useOther) others.switches.forEach((pixel) => other.cell(pixel).classList.add("winner"));
    picture.forEach((_, i) => unpooled.cell(i).classList.toggle("empty", !switches.includes(i)));
    for (const pixel of twice(switches)) unpooled.cell(pixel).classList.add("twice");
    if (jump) byId("pool-jump").textContent = jump; // the last one stays to be read
    chosen.index = Math.min(chosen.index, (chosen.side === "window" ? own.values : picture).length - 1);
    choose(chosen.side, chosen.index);
  }

  // Pixels that more than one window chose.
  function twice(switches) {
    return switches.filter((pixel, i) => switches.indexOf(pixel) !== i);
  }

  function jumped(now) {
    const lines = now.switches
      .map((pixel, i) => [state.own.switches[i], pixel, i])
      .filter(([before, after]) => before !== after)
      .map(([before, after, i]) => `The switch of window ${place(i, now.size)} jumped from ${place(before, SIZE)} to ${place(after, SIZE)}.`);
    return lines.join(" ");
  }

  function place(i, [, width]) {
    return `(${Math.floor(i / width)}, ${i % width})`;
  }

  function choose(side, index) {
    chosen = { side, index };
    const { own, kernel, stride, switches, back } = state;
    const pixelsOf = (w) =>
      windowPixels(Math.floor(w / own.size[1]), w % own.size[1], SIZE[1], kernel, stride);
    const windows = own.values.map((_, w) => w).filter((w) => side === "window" ? w === index : pixelsOf(w).includes(index));
    const key = (i, width) => `${Math.floor(i / width)},${i % width}`;
    const inWindows = new Map();
    const places = new Map();
    const values = new Map();
    for (const w of windows) {
      const colour = w % TAP_COLOURS;
      if (side === "window") for (const pixel of pixelsOf(w)) inWindows.set(key(pixel, SIZE[1]), colour);
      values.set(key(w, own.size[1]), colour);
      places.set(key(switches[w], SIZE[1]), colour);
    }
    shown.light(inWindows, side === "picture" ? index : -1);
    pooled.light(side === "picture" ? values : new Map(), side === "window" ? index : -1);
    unpooled.light(side === "window" ? places : new Map(), side === "picture" ? index : -1);
    byId("pool-readout").textContent = side === "window" ? windowText(index) : pixelText(index, windows);

    function windowText(w) {
      const tie = own.ties[w].length;
      const sharing = switches.filter((pixel) => pixel === switches[w]).length;
      return (
        `Window ${place(w, own.size)} keeps ${own.values[w]}, from pixel ${place(own.switches[w], SIZE)}` +
        `${tie > 1 ? `: a tie of ${tie} pixels, of which the first in reading order wins` : ""}. ` +
        `Unpooling puts it at ${place(switches[w], SIZE)}` +
        `${state.useOther ? ", where the other picture was largest" : ""}` +
        `${sharing > 1 ? `, which ${sharing} windows chose: it becomes ${back[switches[w]]}` : ""}.`
      );
    }
    function pixelText(i, inThese) {
      const won = inThese.filter((w) => own.switches[w] === i);
      const where = inThese.length
        ? `is in ${inThese.length} window${inThese.length > 1 ? "s" : ""} and wins ${won.length}`
        : "is in no window: they stop before it";
      return `Pixel ${place(i, SIZE)} = ${picture[i]} ${where}. Unpooled it is ${back[i]}.`;
    }
  }

  function set(index, value) {
    const legal = Math.max(0, Math.min(MOST, value));
    if (legal === picture[index]) return;
    picture[index] = legal;
    chosen = { side: "picture", index };
    update();
  }

  const cellIndex = (target) => {
    const cell = target.closest("[data-index]");
    return cell ? Number(cell.dataset.index) : undefined;
  };
  let dragged = 0;
  onDrag(
    byId("pool-picture"),
    (target) => {
      const index = cellIndex(target);
      if (index === undefined) return undefined;
      dragged = index;
      return picture[index];
    },
    (value) => set(dragged, value),
  );
  byId("pool-picture").addEventListener("keydown", (event) => {
    const change = { "+": 1, "=": 1, "-": -1, PageUp: 1, PageDown: -1 }[event.key];
    if (!change) return;
    event.preventDefault();
    set(shown.at, picture[shown.at] + change);
  });
  byId("pool-more").addEventListener("click", () => set(shown.at, picture[shown.at] + 1));
  byId("pool-less").addEventListener("click", () => set(shown.at, picture[shown.at] - 1));
  controls.addEventListener("input", update);
  controls.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("resize", update);
  update();
})();
