"""Every file of a data set looked at in one go: faults, remarks, statistics, a contact sheet."""

from minideconv.data.check.findings import Finding, Report, examine
from minideconv.data.check.look import Look
from minideconv.data.check.looking import look_at_all
from minideconv.data.check.training import check_before_use

__all__ = ["Finding", "Look", "Report", "check_before_use", "examine", "look_at_all"]
