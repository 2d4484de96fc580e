// The side bar's buttons that unfold a section have no name of their own; drawings that are wider than
// a narrow page scroll sideways there; and what scrolls must be reached by keys.
const WIDE = 560; // pixels from which a drawing has digits that would be too small on a telephone

function reachable(box) {
  if (box.scrollWidth <= box.clientWidth) return;
  box.tabIndex = 0;
  box.setAttribute('role', 'group');
  box.setAttribute('aria-label', 'Scrolls sideways');
}

document.addEventListener('DOMContentLoaded', () => {
  for (const button of document.querySelectorAll('.bd-sidebar-primary summary, .bd-sidebar summary')) {
    const section = button.closest('li')?.querySelector('a');
    if (!button.textContent.trim() && section)
      button.setAttribute('aria-label', `Pages of ${section.textContent.trim()}`);
  }
  document.querySelectorAll('.bd-article div.math, .bd-article div.figure').forEach(reachable);
});
window.addEventListener('load', () => {
  for (const image of document.querySelectorAll('.bd-article figure > img, .bd-article p > img')) {
    const drawing = /\.(svg|png)$/.test(image.currentSrc || image.src);
    if (!drawing || image.naturalWidth < WIDE) continue;
    image.parentElement.classList.add('wide-box');
    reachable(image.parentElement);
  }
});
