"""``report.html``: a whole run on one page that opens anywhere, made from the run folder alone."""

from minideconv.training.run.report.curves import points_of
from minideconv.training.run.report.page import page_script, page_style, report_html, write_report
from minideconv.training.run.report.sessions import read_sessions
from minideconv.training.run.report.settings_table import setting_text
from minideconv.training.run.report.written import Written, read_written

__all__ = [
    "Written",
    "page_script",
    "page_style",
    "points_of",
    "read_sessions",
    "read_written",
    "report_html",
    "setting_text",
    "write_report",
]
