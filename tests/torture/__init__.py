"""Crashes of every kind under load: `make torture`, and in short `tests/test_torture.py`."""
