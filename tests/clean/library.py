"""Imports the whole standard library, but for what does something at once."""
import contextlib
import importlib
import io
import os
import pkgutil
import sys
import warnings

LEFT_OUT = {"antigravity", "this", "test", "idlelib", "turtledemo", "lib2to3", "__main__", "ensurepip", "site-packages"}
LEFT_OUT |= {"tkinter", "_tkinter", "turtle", "_ios_support"}  # other libraries begin there, Tcl and that of Objective-C
folders = [path for path in sys.path if os.path.basename(path) == "lib-dynload"] + [os.path.dirname(os.__file__)]
names = set(sys.builtin_module_names) | {module.name for module in pkgutil.iter_modules(folders)}
names |= set(getattr(sys, "stdlib_module_names", ()))

warnings.simplefilter("ignore")
# Modules in C after those that use them, as ever: _asyncio loses what it has when it is imported before asyncio.
for name in sorted(names - LEFT_OUT, key=lambda name: (name.startswith("_"), name)):
    if name.startswith(("_test", "_xxtest", "xx", "__phello__")):
        continue
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        importlib.import_module(name)
