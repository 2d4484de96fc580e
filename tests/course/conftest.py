from __future__ import annotations

import pytest
import small_course


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The course.toml of a course of one small unit; the package's units are out of sight."""
    path = small_course.write_course(tmp_path / "teacher")
    monkeypatch.setattr("minideconv.course.places.UNITS", path.parent / "units")
    return path
