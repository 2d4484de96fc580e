"use strict";
// A grid of numbers that one can walk through: by pointer, by touch, or by the arrow keys.
// `select(index)` is called with row * width + column of the pixel that one is at.

const TAP_COLOURS = 8; // style.css has --tap-0 to --tap-7; further taps begin anew, and all have numbers

class Grid {
  constructor(element, select) {
    this.element = element;
    this.select = select;
    this.cells = new Map(); // "row,column" -> cell
    this.at = 0; // which cell the Tab key leads to
    element.setAttribute("role", "grid");
    element.classList.add("grid");
    element.addEventListener("keydown", (event) => this.walk(event));
    const visit = (event) => {
      const cell = event.target.closest("[data-index]");
      if (cell) this.visit(Number(cell.dataset.index));
    };
    element.addEventListener("focusin", visit);
    element.addEventListener("pointerover", (event) => event.pointerType === "mouse" && visit(event));
    element.addEventListener("pointerdown", visit);
  }

  // Ask for room for so many columns, before anything beside this grid is drawn.
  reserve(columns) {
    this.element.closest(".panel").style.flexBasis = `${Math.max(columns * 42 + 10, 150)}px`;
  }

  // Draw height x width pixels, with a border of padding. `text(index)` is what stands in a pixel.
  draw([height, width], padding, text, name) {
    const columns = width + 2 * padding;
    const room = this.element.parentElement.clientWidth || 320;
    const side = Math.max(22, Math.min(44, Math.floor((room - 2) / columns)));
    this.element.style.setProperty("--cell", `${side}px`);
    this.element.style.setProperty("--digits", `${Math.max(10, Math.min(15, 0.4 * side))}px`);
    this.element.classList.toggle("roomy", side >= 30);
    const shape = [height, width, padding].join();
    if (shape !== this.shape) this.build(height, width, padding);
    this.shape = shape;
    for (let index = 0; index < height * width; index++) {
      const cell = this.cell(index);
      const [row, column] = [Math.floor(index / width), index % width];
      cell.className = "cell";
      cell.textContent = text(index);
      cell.setAttribute("aria-label", `${name}, row ${row}, column ${column}: ${text(index)}`);
    }
  }

  // Make the cells; those of the border have no index, and are no stops of the arrow keys.
  build(height, width, padding) {
    const focused = this.element.contains(document.activeElement);
    this.size = [height, width];
    this.at = Math.min(this.at, height * width - 1);
    this.element.replaceChildren();
    this.cells.clear();
    for (let row = -padding; row < height + padding; row++) {
      const line = document.createElement("div");
      line.setAttribute("role", "row");
      for (let column = -padding; column < width + padding; column++) {
        const cell = document.createElement("div");
        const inside = row >= 0 && row < height && column >= 0 && column < width;
        cell.className = inside ? "cell" : "cell outside";
        if (inside) {
          const index = row * width + column;
          cell.setAttribute("role", "gridcell");
          cell.dataset.index = index;
          cell.tabIndex = index === this.at ? 0 : -1;
        } else {
          cell.setAttribute("aria-hidden", "true");
        }
        this.cells.set(`${row},${column}`, cell);
        line.append(cell);
      }
      this.element.append(line);
    }
    if (focused) this.cell(this.at).focus({ preventScroll: true });
  }

  cell(index) {
    return this.cells.get(`${Math.floor(index / this.size[1])},${index % this.size[1]}`);
  }

  // Mark cells: a map from "row,column" to a tap, and the index of the pixel that one is at, or -1.
  light(taps, chosen) {
    for (const [key, cell] of this.cells) {
      const tap = taps.get(key);
      cell.classList.toggle("lit", tap !== undefined);
      cell.dataset.tap = tap === undefined ? "" : tap + 1;
      cell.style.setProperty("--tap", tap === undefined ? "" : `var(--tap-${tap % TAP_COLOURS})`);
      cell.classList.toggle("chosen", cell.dataset.index === String(chosen));
    }
  }

  visit(index) {
    if (index !== this.at) {
      this.cell(this.at).tabIndex = -1;
      this.at = index;
      this.cell(index).tabIndex = 0;
    }
    this.select(index);
  }

  walk(event) {
    const [height, width] = this.size;
    const [row, column] = [Math.floor(this.at / width), this.at % width];
    const moves = {
      ArrowUp: [Math.max(0, row - 1), column],
      ArrowDown: [Math.min(height - 1, row + 1), column],
      ArrowLeft: [row, Math.max(0, column - 1)],
      ArrowRight: [row, Math.min(width - 1, column + 1)],
      Home: [row, 0],
      End: [row, width - 1],
    };
    const target = moves[event.key];
    if (!target || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.cell(target[0] * width + target[1]).focus();
  }
}
