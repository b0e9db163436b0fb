"""What all tests have in common: how long an example takes says something about the machine, and not about the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
