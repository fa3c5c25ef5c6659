"""Fixtures that every kind of test may ask for, one module a subject."""

from hypothesis import HealthCheck, settings

# A busy machine must not fail a property: neither how long an example took nor how long it took to draw is a fact.
settings.register_profile("facts", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("facts")

pytest_plugins: list[str] = [
    "tests.fixtures.cluster",
    "tests.fixtures.flows",
    "tests.fixtures.s3",
    "tests.fixtures.slack",
]
