# SPDX-License-Identifier: MIT
"""Shared pools, with the names that programs written for dragon.managed_memory use."""
from . import AllocType, MemoryAlloc, MemoryAllocations, MemoryPool  # noqa: F401
from ._memshim import PoolAttachFail, PoolCreateFail, PoolError

DragonPoolError = DragonPoolException = PoolError
DragonPoolCreateFail = PoolCreateFail
DragonPoolAttachFail = PoolAttachFail
