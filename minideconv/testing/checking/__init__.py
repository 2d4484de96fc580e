"""Check a student's function: cases, comparison, the smallest failing call, its likely mistake."""

from __future__ import annotations

from minideconv.testing.checking.check import OperationError, Report, check_op, replay

__all__ = ["OperationError", "Report", "check_op", "replay"]
