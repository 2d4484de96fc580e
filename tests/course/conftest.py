from __future__ import annotations

import pytest
import small_course


@pytest.fixture
def course(tmp_path):
    """The course.toml of a small course."""
    return small_course.write_course(tmp_path / "teacher")
