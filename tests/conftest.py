"""For all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on the disk and on who else uses the machine; no test is about that.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
