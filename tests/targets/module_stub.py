# SPDX-License-Identifier: MIT
"""The stub of the package names what the package has, no more and no less, and all of it is described."""
import ast
import os

import memshim

stub_path = os.path.join(os.path.dirname(memshim.__file__), "__init__.pyi")
with open(stub_path, encoding="utf-8") as file:
    body = ast.parse(file.read()).body


def names_in(nodes):
    names = {}
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            names[node.target.id] = node
        elif isinstance(node, ast.Assign):
            names[node.targets[0].id] = node
    return names


def public(names):
    return {name for name in names if not name.startswith("_")}


def members_in(node):
    """Those of the stub's class and of its bases."""
    members = set(names_in(node.body))
    for base in node.bases:
        if getattr(base, "id", None) in stated:
            members |= members_in(stated[base.id])
    return members


stated = names_in(body)
assert public(stated) == set(memshim.__all__), public(stated) ^ set(memshim.__all__)
for name in memshim.__all__:
    value = getattr(memshim, name)
    assert not callable(value) or value.__doc__, name
    if not isinstance(value, type) or issubclass(value, (tuple, int, BaseException)):
        continue
    own = public(member for kind in value.__mro__ if kind.__module__.startswith("memshim") for member in vars(kind))
    members = public(members_in(stated[name]))
    assert not own - members, (name, own - members)
    for member in own:
        part = getattr(value, member)
        assert not (callable(part) or isinstance(part, property)) or part.__doc__, (name, member)
