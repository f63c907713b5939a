# SPDX-License-Identifier: MIT
"""What Python code says of the caches of the interpreter's library, for scopes: what they keep for the next time is no leak.

Asked when a scope has left something. Looks into dicts only, so that no code of anybody's runs."""
import collections
import functools
import gc
import os
import sys
import types
import weakref

# include/memshim/scope.h
CACHE, CONTAINER, NAMESPACE, MODULE = 1, 2, 3, 4

_folder = os.path.dirname(os.__file__) + os.sep
_containers = (dict, list, set, collections.OrderedDict, collections.defaultdict, collections.deque)
_weak = (weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
_caches = ("_value2member_map_",)  # flags that were combined
_lru = type(functools.lru_cache(lambda: None))


def _is_library(name, names):
    """Whether a module with these names belongs to the interpreter (or is of this package)."""
    file = names.get("__file__")
    if name == "__main__":
        return False
    if isinstance(file, str):
        return (file.startswith(_folder) and "-packages" not in file) or name.partition(".")[0] == "memshim"
    return name in sys.builtin_module_names or getattr(names.get("__spec__"), "origin", None) == "frozen"


def _add(found, name, value):
    if type(value) in _weak or type(value).__name__ == "_WeakValueDictionary":  # importlib has its own
        for part in ("data", "_pending_removals", "_iterating"):  # by vars() it would get a dict of its own
            _add(found, name, getattr(value, part, None))
    elif type(value) in _containers:
        found.append((CACHE if "cache" in name.lower() or name in _caches else CONTAINER, value))


def _names_of(kind):
    return type.__dict__["__dict__"].__get__(kind) or {}


def _add_names(found, module, names):
    for name, value in list(names.items()):
        if isinstance(value, type):
            space = _names_of(value)
            if space.get("__module__") == module:
                for key, part in list(space.items()):
                    _add(found, key, part)
        else:
            _add(found, name, value)


def _loggers():
    logging = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "root"):
        return []
    loggers = list(logging.root.manager.loggerDict.values())
    return [logging.root] + [logger for logger in loggers if isinstance(logger, logging.Logger)]


def find():
    """A list of (role, object)."""
    found, library = [(NAMESPACE, sys.modules)], set()
    for name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType):
            continue
        names = object.__getattribute__(module, "__dict__")
        found.append((MODULE, module))
        if "__warningregistry__" in names:
            found.extend([(CACHE, names["__warningregistry__"]), (CONTAINER, names)])
        if _is_library(name, names):
            library.add(name)
            found.append((CONTAINER if name in ("builtins", "sys") else NAMESPACE, names))
            _add_names(found, name, names)
        elif "__path__" in names:  # modules of a package get a name in it
            found.append((CONTAINER, names))
    for logger in _loggers():
        _add(found, "cache", getattr(logger, "_cache", None))
    dll = getattr(sys.modules.get("ctypes"), "CDLL", None)
    for value in gc.get_objects():
        if type(value) is _lru:
            if vars(value).get("__module__") in library:
                found.append((CACHE, value))
        elif isinstance(value, type):  # abstract ones remember what is theirs, others how they are copied
            for name in ("_abc_impl", "__slotnames__"):
                if name in _names_of(value):
                    found.append((CACHE, _names_of(value)[name]))
        elif dll and isinstance(value, dll):  # functions of a library get their names when they are first used
            found.append((NAMESPACE, value))
    return found
