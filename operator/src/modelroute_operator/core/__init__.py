"""Decides: pure functions and frozen values. What may not be imported here is in pyproject.toml (import-linter)."""
