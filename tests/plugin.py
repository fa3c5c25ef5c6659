"""Fixtures that every kind of test may ask for, one module a subject."""

pytest_plugins: list[str] = ["tests.fixtures.cluster", "tests.fixtures.s3", "tests.fixtures.slack"]
