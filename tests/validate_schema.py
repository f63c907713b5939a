#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks files that memshim wrote against their schemas: reports (.jsonl) line by line, documents (.json) as a whole.

usage: validate_schema.py FILE...
Exit status: 0 all good, 1 a file is not what its schema says (one line each on stderr), 77 no python3-jsonschema.
"""

import json
import pathlib
import sys

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed", file=sys.stderr)
    sys.exit(77)

SCHEMAS = pathlib.Path(__file__).resolve().parent.parent / "include" / "memshim"
ORDER = ["memshim", "module", "code", "frame", "stack", "trace", "group", "error", "audit", "why", "mark", "growth", "arenas", "pin", "totals", "end"]
# Which keys of which lines hold the id of a line above.
REFERENCES = {
    "frame": {"module": "module", "code": "code"},
    "stack": {"parent": "stack", "frame": "frame"},
    "trace": {"native": "stack", "python": "stack"},
    "group": {"trace": "trace"},
    "audit": {"trace": "trace"},
    "growth": {"trace": "trace"},
    "pin": {"trace": "trace"},
    "why": {"trace": "trace", "module": "module"},
    "error": {"trace": "trace", "alloc_trace": "trace", "free_trace": "trace"},
}


class Bad(Exception):
    pass


def schema(name):
    with open(SCHEMAS / name, encoding="utf-8") as file:
        loaded = json.load(file)
    jsonschema.Draft7Validator.check_schema(loaded)
    return loaded


def check(validator, value):
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error is not None:
        where = "/".join(map(str, error.absolute_path))
        raise Bad(f"{where}: {error.message}" if where else error.message)


class Lines:
    """One report: each line by the definition that its first key names, and how the lines go together."""

    def __init__(self):
        whole = schema("report-lines.schema.json")
        self.validators = {
            kind: jsonschema.Draft7Validator({"$ref": f"#/definitions/{kind}", "definitions": whole["definitions"]})
            for kind in ORDER
        }

    def check_line(self, line):
        kind = next(iter(line), None) if isinstance(line, dict) else None
        if kind not in self.validators:
            raise Bad(f"a line of an unknown kind: {kind!r}")
        if self.kind is None and kind != "memshim" or ORDER.index(kind) < ORDER.index(self.kind or "memshim"):
            raise Bad(f"a line '{kind}' after '{self.kind}'")
        check(self.validators[kind], line)
        self.kind = kind
        for key, table in REFERENCES.get(kind, {}).items():
            if line.get(key, 0) > self.counts[table]:
                raise Bad(f"'{key}' is {line[key]}, but there are {self.counts[table]} lines '{table}' above")
        self.counts[kind] += 1
        if not isinstance(line[kind], bool) and line[kind] != self.counts[kind]:
            raise Bad(f"'{kind}' is {line[kind]}, not {self.counts[kind]}")

    def check_file(self, path):
        self.kind = None
        self.counts = dict.fromkeys(ORDER, 0)
        number = 0
        line = {}
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    line = json.loads(text)
                    self.check_line(line)
                except (Bad, ValueError) as error:
                    raise Bad(f"{number}: {error}") from None
        if self.kind != "end":
            raise Bad(f"{number}: the report has no end")
        if line["lines"] != number:
            raise Bad(f"{number}: 'lines' is {line['lines']}, but there are {number}")


def check_document(path):
    with open(path, encoding="utf-8") as file:
        check(jsonschema.Draft7Validator(schema("report.schema.json")), json.load(file))


def main(paths):
    status = 0
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    for path in paths:
        try:
            if path.endswith(".jsonl"):
                Lines().check_file(path)
            else:
                check_document(path)
        except (Bad, ValueError, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
