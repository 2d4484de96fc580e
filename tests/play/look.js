// What tests/play/test_layout.py asks a page.

function rgba(colour) {
  const parts = colour.match(/[\d.]+/g).map(Number);
  const scale = colour.startsWith("color(") ? 255 : 1;
  return [...parts.slice(0, 3).map((v) => v * scale), parts[3] ?? 1];
}

// Relative luminance and contrast are defined in WCAG 2.2, success criterion 1.4.3.
function luminance(colour) {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = colour.map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [a, b] = [luminance(one), luminance(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function colourBehind(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = rgba(getComputedStyle(at).backgroundColor);
    if (colour[3] > 0.99) return colour;
  }
  return [255, 255, 255, 1];
}

window.look = {
  // Every visible text: its beginning, its size in pixels, and its contrast with what is behind it.
  // Numbers in a matrix stand on their entry's colour, of which a test of its own looks.
  texts() {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      const hidden = !element.checkVisibility() || ["SCRIPT", "STYLE"].includes(element.tagName);
      if (hidden || !node.data.trim()) continue;
      const style = getComputedStyle(element);
      const drawn = element.namespaceURI.endsWith("svg");
      const ratio = drawn ? 21 : contrast(rgba(style.color), colourBehind(element));
      found.push([node.data.trim().slice(0, 40), parseFloat(style.fontSize), ratio]);
    }
    return found;
  },

  // Contrasts of the digits on the colours of the taps.
  taps() {
    const style = getComputedStyle(document.documentElement);
    const hex = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
    return [...Array(TAP_COLOURS).keys()].map((tap) =>
      contrast([17, 17, 17], hex(style.getPropertyValue(`--tap-${tap}`).trim())),
    );
  },

  // Elements that reach over the edge; boxes that scroll may hold wider ones.
  clipped() {
    const edge = document.documentElement.clientWidth + 1;
    return [...document.querySelectorAll("body *")]
      .filter((e) => e.checkVisibility() && !e.closest("svg") && !e.closest(".room, .scroll"))
      .filter((e) => e.getBoundingClientRect().right > edge || e.getBoundingClientRect().left < -1)
      .map((e) => `${e.tagName}#${e.id}.${e.className}`);
  },
};
