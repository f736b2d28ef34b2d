"""The outside suites, with their npm project."""
