# SPDX-License-Identifier: MIT
"""The functions of memory handles alone."""
from ._memshim import (  # noqa: F401
    AEGP_FreeMemHandle,
    AEGP_GetMemHandleSize,
    AEGP_GetMemStats,
    AEGP_LockMemHandle,
    AEGP_MemFlag_CLEAR,
    AEGP_MemFlag_NONE,
    AEGP_MemFlag_QUIET,
    AEGP_NewMemHandle,
    AEGP_ResizeMemHandle,
    AEGP_SetMemReportingOn,
    AEGP_UnlockMemHandle,
)
