// The side bar's buttons that unfold a section have no name of their own.
document.addEventListener('DOMContentLoaded', () => {
  for (const button of document.querySelectorAll('.bd-sidebar-primary summary, .bd-sidebar summary')) {
    const section = button.closest('li')?.querySelector('a');
    if (!button.textContent.trim() && section)
      button.setAttribute('aria-label', `Pages of ${section.textContent.trim()}`);
  }
});
