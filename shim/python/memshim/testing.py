# SPDX-License-Identifier: MIT
"""For test suites."""
from . import LeakError, check_leaks, detect_leaks  # noqa: F401

detectLeaks = detect_leaks
