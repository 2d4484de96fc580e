// The side bar's buttons that unfold a section have no name of their own; and what scrolls sideways
// on a narrow page must be reached by keys.
document.addEventListener('DOMContentLoaded', () => {
  for (const button of document.querySelectorAll('.bd-sidebar-primary summary, .bd-sidebar summary')) {
    const section = button.closest('li')?.querySelector('a');
    if (!button.textContent.trim() && section)
      button.setAttribute('aria-label', `Pages of ${section.textContent.trim()}`);
  }
  for (const box of document.querySelectorAll('.bd-article div.math, .bd-article div.figure')) {
    if (box.scrollWidth <= box.clientWidth) continue;
    box.tabIndex = 0;
    box.setAttribute('role', 'group');
    box.setAttribute('aria-label', 'Scrolls sideways');
  }
});
