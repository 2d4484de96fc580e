"use strict";
// Change a number by dragging up and down: one for every 8 pixels.

function onDrag(element, read, write) {
  const STEP = 8;
  element.addEventListener("pointerdown", (down) => {
    const start = read(down.target);
    if (start === undefined) return;
    const target = down.target;
    let moved = 0;
    const move = (event) => {
      if (event.pointerId !== down.pointerId) return;
      const steps = Math.round((down.clientY - event.clientY) / STEP);
      if (steps === moved) return;
      moved = steps;
      event.preventDefault();
      write(start + steps, target);
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  });
}
