"""What every test shares."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines are noisy: an example is judged by its answer, never by its time.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
