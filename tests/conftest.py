"""What all tests share: quiet Ray, and how much hypothesis tries."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Ray reads this when it is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

# A deadline per example measures the machine's other work; pytest's time limit bounds a test that hangs.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# In CI the same examples every time, so that a change that is red is red for everyone.
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
