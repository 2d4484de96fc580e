"use strict";
// A matrix as a picture: a square for each entry that is not always zero, in the colour of its tap
// and, where there is room for a digit of 10 pixels, with its number.

const SVG = "http://www.w3.org/2000/svg";

function svgElement(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

class MatrixPicture {
  // `select(row)` is called for the row that the pointer is at.
  constructor(box, select) {
    this.box = box;
    this.svg = svgElement("svg", { role: "img" });
    box.append(this.svg);
    const visit = (event) => {
      const top = this.svg.getBoundingClientRect().top;
      const row = Math.floor((event.clientY - top - 1) / this.side);
      if (row >= 0 && row < this.rows) select(row);
    };
    this.svg.addEventListener("pointermove", (event) => event.pointerType === "mouse" && visit(event));
    this.svg.addEventListener("pointerdown", visit);
  }

  // `cells` are { row, column, tap }.
  draw(rows, columns, cells, label) {
    const room = this.box.clientWidth || 320;
    this.side = Math.max(9, Math.min(22, Math.floor((room - 4) / columns)));
    [this.rows, this.columns] = [rows, columns];
    const [width, height] = [columns * this.side + 2, rows * this.side + 2];
    this.svg.replaceChildren();
    for (const [key, value] of Object.entries({ width, height, "aria-label": label }))
      this.svg.setAttribute(key, value);
    const frame = { x: 1, y: 1, width: width - 2, height: height - 2, class: "frame" };
    this.svg.append(svgElement("rect", frame));
    for (const { row, column, tap } of cells) {
      const [x, y] = [1 + column * this.side, 1 + row * this.side];
      const square = { x, y, width: this.side, height: this.side, class: "entry" };
      const rect = svgElement("rect", square);
      rect.style.fill = `var(--tap-${tap % TAP_COLOURS})`;
      this.svg.append(rect);
      if (this.side < 16) continue;
      const middle = { x: x + this.side / 2, y: y + this.side / 2, class: "number" };
      const text = svgElement("text", middle);
      text.textContent = tap + 1;
      this.svg.append(text);
    }
    this.mark = svgElement("rect", { class: "mark" });
    this.svg.append(this.mark);
  }

  // Frame a row or a column, and bring it into view inside the box.
  show(axis, index) {
    const row = axis === "row";
    const start = 1 + index * this.side;
    const shape = row
      ? { x: 1, y: start, width: this.columns * this.side, height: this.side }
      : { x: start, y: 1, width: this.side, height: this.rows * this.side };
    for (const [key, value] of Object.entries(shape)) this.mark.setAttribute(key, value);
    this.mark.dataset.axis = axis;
    this.mark.dataset.index = index;
    const [side, length] = row ? ["scrollTop", "clientHeight"] : ["scrollLeft", "clientWidth"];
    const [from, to] = [this.box[side], this.box[side] + this.box[length]];
    if (start < from || start + this.side > to) this.box[side] = start - this.box[length] / 2;
  }
}
