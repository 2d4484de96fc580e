"""The course kit: students' code, checked and graded."""
