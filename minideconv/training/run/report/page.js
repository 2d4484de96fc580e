// The page's script: charts that can be read, the slider through the layers, and news of a run
// that goes on. Everything else on the page is there without it.
"use strict";

// A list of the sections, to jump to.
function listSections() {
  const nav = document.querySelector("nav.jump");
  document.querySelectorAll("h2").forEach((heading, number) => {
    heading.id = `section-${number}`;
    const link = document.createElement("a");
    link.href = `#${heading.id}`;
    link.textContent = heading.textContent;
    nav.append(link);
  });
}

// Under the pointer, or by the arrow keys, a chart shows its values. Each line keeps them in
// data-values ("x,y x,y ..."), beside its path in pixels.
function readChart(chart) {
  const [left, right, top, bottom] = chart.dataset.plot.split(" ").map(Number);
  const high = Number(chart.dataset.ends.split(" ")[0]);
  const pairs = (text) => text.split(" ").filter(Boolean).map((pair) => pair.split(",").map(Number));
  const lines = [...chart.querySelectorAll("polyline[data-values]")].map((line) => ({
    name: line.dataset.name,
    style: [...line.classList].filter((name) => !["line", "faint"].includes(name)).join(" "),
    points: pairs(line.dataset.values),
  }));
  const places = [...new Set(lines.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
  if (!places.length) return;
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.setAttribute("aria-live", "polite");
  chart.after(readout);
  const cursor = document.createElementNS(chart.namespaceURI, "path");
  cursor.setAttribute("class", "cursor");
  chart.append(cursor);
  chart.tabIndex = 0;
  let at = -1;

  function nearest(values, x) {
    return values.reduce((best, value) => (Math.abs(value - x) < Math.abs(best - x) ? value : best));
  }
  function show(place) {
    at = Math.max(0, Math.min(places.length - 1, place));
    const x = places[at];
    cursor.setAttribute("d", `M${left + (x / (high || 1)) * (right - left)} ${top}V${bottom}`);
    readout.replaceChildren(`${chart.dataset.axis} ${x}`);
    for (const line of lines) {
      if (!line.points.length) continue;
      const here = nearest(line.points.map((point) => point[0]), x);
      const mark = document.createElement("b");
      mark.className = line.style;
      mark.textContent = line.name;
      const where = here === x ? "" : ` (at ${here})`;
      const value = line.points.find((point) => point[0] === here)[1];
      readout.append(" · ", mark, ` ${value}${where}`);
    }
  }
  function hide() {
    at = -1;
    cursor.removeAttribute("d");
    readout.replaceChildren();
  }
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
    const x = ((across - left) / (right - left)) * high;
    show(places.indexOf(nearest(places, x)));
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: places.length - 1 };
    if (event.key === "Escape") hide();
    if (!(event.key in steps)) return;
    event.preventDefault();
    show(steps[event.key]);
  });
}

// One image and one of its layers at a time.
function slideLayers(box) {
  const slider = box.querySelector("input[type=range]");
  const said = box.querySelector("output");
  const images = [...box.querySelectorAll("[data-image]")];
  function show() {
    const chosen = box.querySelector("input[type=radio]:checked").value;
    for (const image of images) {
      image.hidden = image.dataset.image !== chosen;
      for (const layer of image.querySelectorAll("[data-layer]")) {
        layer.hidden = layer.dataset.layer !== slider.value;
        if (!image.hidden && !layer.hidden) said.value = layer.dataset.caption;
      }
    }
    slider.setAttribute("aria-valuetext", said.value);
  }
  box.addEventListener("input", show);
  box.addEventListener("change", show);
  for (const button of box.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => {
      slider.value = Number(slider.value) + Number(button.dataset.step);
      show();
    });
  }
  box.classList.add("scripted");
  show();
}

// What a reader has set is kept when the page loads itself anew.
const kept = {
  name: `minideconv ${location.pathname}`,
  fields: () => [...document.querySelectorAll("details, .layers input")],
  read() {
    try {
      return JSON.parse(sessionStorage.getItem(this.name)) || {};
    } catch {
      return {};
    }
  },
  save(more) {
    const fields = this.fields().map((one) => one.tagName === "DETAILS" ? one.open : one.type === "radio" ? one.checked : one.value);
    const focus = [...document.querySelectorAll("svg.chart, input, button")].indexOf(document.activeElement);
    try {
      sessionStorage.setItem(this.name, JSON.stringify({ fields, focus, scroll: scrollY, ...more }));
    } catch {
      // Without a store the page begins anew.
    }
  },
  restore() {
    const { fields = [] } = this.read();
    const there = this.fields();
    if (fields.length !== there.length) return;
    there.forEach((one, number) => {
      if (one.tagName === "DETAILS") one.open = fields[number];
      else if (one.type === "radio") one.checked = fields[number];
      else one.value = fields[number];
    });
  },
};

// While the run goes on: look at live.js, a script of one call, and load a newer page.
function followRun(file) {
  const page = document.documentElement.dataset.page;
  const bar = document.querySelector(".live");
  const SECONDS = 2;
  let pressed = false;
  let wanted = "";
  addEventListener("pointerdown", () => (pressed = true), true);
  for (const name of ["pointerup", "pointercancel"]) {
    addEventListener(name, () => ((pressed = false), renew()), true);
  }
  function renew() {
    if (!wanted || pressed) return; // nothing is torn out of a hand
    kept.save({ loaded: wanted });
    location.reload();
  }
  function say(text, share) {
    bar.hidden = false;
    bar.querySelector("span").textContent = text;
    if (Number.isFinite(share)) bar.querySelector("progress").value = share;
  }
  window.minideconvLive = (said) => {
    const age = Math.round(Date.now() / 1000 - said.written);
    const text = String(said.text || "the run begins");
    if (said.page && said.page !== page && kept.read().loaded !== said.page) {
      wanted = said.page;
      renew();
    }
    if (said.state === "running") {
      const silent = age > 120 ? ` · no news for ${Math.round(age / 60)} minutes: it works on something long, or was killed` : "";
      say(`running: ${text}${silent}`, said.share);
      setTimeout(look, SECONDS * 1000);
    } else {
      say(said.state === "done" ? "done" : `stopped: ${text}`, said.share);
      bar.classList.add("ended");
    }
  };
  function look() {
    const script = document.createElement("script");
    script.src = `${file}?${Date.now()}`;
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", () => {
      script.remove();
      setTimeout(look, SECONDS * 1000); // it is not there yet, or this page is a copy
    });
    document.head.append(script);
  }
  look();
}

listSections();
document.querySelectorAll("svg.chart").forEach(readChart);
kept.restore();
document.querySelectorAll("[data-layers]").forEach(slideLayers);
if (document.documentElement.dataset.live) followRun(document.documentElement.dataset.live);
