#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the output formats of memshim with what reads them.

    validate_formats.py [--update] [REPORT...]

Every folder of tests/golden holds reports and what each format makes of them (expected.FORMAT); --update writes these
files anew. Then every format of these reports, and of REPORTs, is read by its consumer or checked against its rules.
TEST_MEMSHIM names the program (default: memshim). Consumers that are not installed are named and skipped."""
import csv
import gzip
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
MEMSHIM = os.environ.get("TEST_MEMSHIM", "memshim")
PROTO = HERE.parent / "analyzer" / "pprof" / "profile.proto"
SCHEMA = HERE.parent / "include" / "memshim" / "report.schema.json"
DH_VIEW = pathlib.Path("/usr/libexec/valgrind/dh_view.js")
FORMATS = ["text", "json", "markdown", "sarif", "junit", "github", "gitlab", "collapsed", "speedscope", "dhat",
           "openmetrics", "csv", "pprof", "html"]
# Compared with golden files; text, json and html have tests of their own, and pprof's bytes are zlib's.
GOLDEN = [name for name in FORMATS if name not in ("text", "json", "pprof", "html")]
skipped = set()

# Runs dh_view.js without a browser up to the tree that it shows, and prints the sum of its bytes.
RUN_DH_VIEW = """
const fs = require("fs"), vm = require("vm");
const element = () => new Proxy(function () {}, {
  get: (target, key) => key === "childNodes" ? [] : key === Symbol.toPrimitive ? () => "" : element(),
  set: () => true, apply: () => element()});
const context = {document: element(), window: element(), Intl, input: fs.readFileSync(0, "utf8"), sum: 0};
vm.createContext(context);
vm.runInContext(fs.readFileSync(process.argv[1], "utf8") +
  "; gSelect = {childNodes: [{disabled: false}], selectedIndex: 0}; gSelectData.length = 1;" +
  "gData = JSON.parse(input); if (gData.pps.length) { buildTree(); sum = gRoot._totalBytes; }", context);
console.log(context.sum);
"""


class Wrong(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Wrong(text)


def memshim(arguments, cwd=None):
    done = subprocess.run([MEMSHIM, *arguments], cwd=cwd, capture_output=True, check=False)
    need(done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def tool(name):
    if not shutil.which(name):
        skipped.add(name)
    return shutil.which(name)


# ---- one check for each format ----


def check_text(data):
    need(b"\nSUMMARY: " in data, "no summary line")


def check_json(data):
    document = json.loads(data)
    need(document["schema"] == "memshim-report/1", "schema")
    for key in ("processes", "leaks", "errors"):
        need(isinstance(document[key], list), key)
    try:
        import jsonschema
    except ImportError:
        skipped.add("python3-jsonschema")
        return
    try:
        jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    except jsonschema.ValidationError as error:
        raise Wrong(error.message) from error


def check_markdown(data):
    text = data.decode()
    need(len(data) <= 1 << 20, "a step summary has at most 1 MiB")
    need(text.count("<details>") == text.count("</details>"), "details are closed")
    need(text.count("\n```") % 2 == 0, "blocks are closed")
    outside = re.sub(r"\n```\n.*?\n```\n", "\n", text, flags=re.S)
    tags = set(re.findall(r"<(/?[a-z]+)", outside))
    allowed = {"details", "summary", "b", "code", "sub"}
    need(tags <= allowed | {"/" + tag for tag in allowed}, f"only our tags: {tags}")


def check_sarif_location(location, strict):
    physical = location.get("physicalLocation")
    need(physical or not strict, "a result has a place")
    if not physical:
        return
    artifact = physical["artifactLocation"]
    uri = artifact["uri"]
    need(re.fullmatch(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/%]+", uri), f"a URI: {uri}")
    need(not re.search(r"%(?![0-9A-F]{2})", uri), f"percent encoding: {uri}")
    if "uriBaseId" in artifact:
        need(not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", uri) and not uri.startswith("/"), f"relative: {uri}")
    else:
        need(uri.startswith("file:///"), f"absolute: {uri}")
    region = physical.get("region")
    need(region or not strict, "a result has a line")
    if region:
        need(region["startLine"] >= 1 and region.get("endLine", region["startLine"]) >= region["startLine"], "lines")


def check_sarif(data):
    document = json.loads(data)
    need(document["version"] == "2.1.0", "version")
    need(document["$schema"].endswith("sarif-2.1.0.json"), "schema")
    need(set(document) <= {"$schema", "version", "runs", "properties"}, "keys of the log")
    (run,) = document["runs"]
    need(set(run) <= {"tool", "columnKind", "originalUriBaseIds", "invocations", "results"}, "keys of the run")
    driver = run["tool"]["driver"]
    rules = driver["rules"]
    need(driver["name"] == "memshim", "driver")
    need(re.fullmatch(r"\d+\.\d+\.\d+.*", driver["semanticVersion"]), "semantic version")
    need(len({rule["id"] for rule in rules}) == len(rules), "rules have ids of their own")
    for rule in rules:
        for key in ("shortDescription", "fullDescription", "help"):
            need(rule[key]["text"], f"rule {rule['id']} has a {key}")
        need(rule["defaultConfiguration"]["level"] in ("note", "warning", "error"), "level of a rule")
    for invocation in run["invocations"]:
        need(isinstance(invocation["executionSuccessful"], bool), "invocation")
    need(len(run["results"]) <= 25000, "GitHub takes 25,000 results")
    known = {"ruleId", "ruleIndex", "level", "message", "locations", "stacks", "partialFingerprints",
             "occurrenceCount", "baselineState", "suppressions", "properties"}
    for result in run["results"]:
        need(set(result) <= known, f"keys of a result: {set(result) - known}")
        need(rules[result["ruleIndex"]]["id"] == result["ruleId"], "index of the rule")
        need(result["level"] in ("note", "warning", "error"), "level")
        need(result["message"]["text"], "message")
        need(not re.search(r"\]\(", result["message"]["text"]), "no links in messages")
        need(len(result["locations"]) == 1, "one location")
        check_sarif_location(result["locations"][0], True)
        need(result["occurrenceCount"] >= 1, "occurrence count")
        need(all(isinstance(value, str) and value for value in result["partialFingerprints"].values()), "fingerprints")
        need(result["partialFingerprints"]["primaryLocationLineHash"], "GitHub's fingerprint")
        for stack in result["stacks"]:
            for frame in stack["frames"]:
                check_sarif_location(frame["location"], False)
        need(result.get("baselineState", "new") in ("new", "unchanged", "updated", "absent"), "baseline state")


def check_junit(data):
    root = xml.etree.ElementTree.fromstring(data)
    if tool("xmllint"):
        done = subprocess.run(["xmllint", "--noout", "-"], input=data, capture_output=True, check=False)
        need(done.returncode == 0, done.stderr.decode())
    need(root.tag == "testsuites", "root")
    (suite,) = root
    cases = suite.findall("testcase")
    need(cases, "at least one case")
    for key, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        need(int(suite.get(key)) == sum(case.find(element) is not None for case in cases), key)
    need(int(suite.get("tests")) == len(cases) == int(root.get("tests")), "tests")
    need(len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases), "names differ")
    for case in cases:
        need(case.get("classname") and case.get("name") and float(case.get("time")) >= 0, "attributes of a case")
        failure = case.find("failure")
        need(failure is None or (failure.get("message") and failure.get("type")), "attributes of a failure")


def check_github(data):
    shown = {}
    for line in data.decode(errors="replace").splitlines():
        match = re.fullmatch(r"::(error|warning|notice) ((?:[a-zA-Z]+=[^,:]*)(?:,[a-zA-Z]+=[^,:]*)*)::(.+)", line)
        need(match, f"no workflow command: {line}")
        shown[match[1]] = shown.get(match[1], 0) + 1
        need(not re.search(r"%(?!25|0A|0D|3A|2C)", match[2] + match[3]), f"escapes: {line}")
        properties = dict(item.split("=", 1) for item in match[2].split(","))
        need(set(properties) <= {"file", "line", "endLine", "title"}, f"properties: {line}")
        need(not properties.get("file", "x").startswith(("/", "./", "..")), f"relative: {line}")
    need(all(count <= 10 for count in shown.values()), f"ten of a level: {shown}")


def check_gitlab(data):
    entries = json.loads(data)
    need(isinstance(entries, list), "an array")
    need(len({entry["fingerprint"] for entry in entries}) == len(entries), "fingerprints differ")
    for entry in entries:
        need(entry["description"] and entry["check_name"] and entry["fingerprint"], "texts")
        need(entry["severity"] in ("info", "minor", "major", "critical", "blocker"), "severity")
        need(entry["location"]["path"] and not entry["location"]["path"].startswith("./"), "path")
        need(entry["location"]["lines"]["begin"] >= 1, "line")


def check_collapsed(data):
    for line in data.decode(errors="replace").splitlines():
        match = re.fullmatch(r"(.*) (\d+)", line)
        need(match and all(match[1].split(";")), f"line: {line}")


def check_speedscope(data):
    document = json.loads(data)
    need(document["$schema"] == "https://www.speedscope.app/file-format-schema.json", "schema")
    frames = document["shared"]["frames"]
    for frame in frames:
        need(frame["name"] and set(frame) <= {"name", "file", "line", "col"}, "frame")
    need(0 <= document["activeProfileIndex"] < len(document["profiles"]), "active profile")
    for profile in document["profiles"]:
        need(profile["type"] == "sampled", "type")
        need(profile["unit"] in ("none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"), "unit")
        need(len(profile["samples"]) == len(profile["weights"]), "a weight for each sample")
        need(profile["endValue"] - profile["startValue"] == sum(profile["weights"]), "sum of weights")
        need(all(0 <= frame < len(frames) for sample in profile["samples"] for frame in sample), "frames")


def check_dhat(data):
    document = json.loads(data)
    fields, point_fields = ["dhatFileVersion", "mode", "verb", "bklt", "bkacc", "tu", "Mtu", "cmd", "pid", "te", "pps",
                            "ftbl"], ["tb", "tbk", "fs"]
    if DH_VIEW.exists():
        source = DH_VIEW.read_text()
        fields = re.findall(r'"(\w+)"', re.search(r"let fields = \[(.*?)\]", source, re.S)[1])
        point_fields = re.findall(r'"(\w+)"', re.search(r"checkFields\(aPP, \[(.*?)\]", source, re.S)[1])
    else:
        skipped.add("valgrind (dh_view.js)")
    for field in fields:
        need(field in document, f"field {field}")
    need(document["dhatFileVersion"] == 2 and not document["bklt"] and not document["bkacc"], "version 2")
    need(document["ftbl"][0] == "[root]" and document["te"] > 0, "root, time")
    stacks = [tuple(point["fs"]) for point in document["pps"]]
    need(len(set(stacks)) == len(stacks), "dh_view fails on two points with one stack")
    for point in document["pps"]:
        for field in point_fields:
            need(field in point, f"field {field} of a point")
        need(point["fs"] and all(0 < frame < len(document["ftbl"]) for frame in point["fs"]), "frames")
    if DH_VIEW.exists() and tool("node"):
        done = subprocess.run(["node", "-e", RUN_DH_VIEW, str(DH_VIEW)], input=data, capture_output=True, check=False)
        need(done.returncode == 0, f"dh_view: {done.stderr.decode()}")
        need(int(done.stdout) == sum(point["tb"] for point in document["pps"]), "dh_view's sum")


def check_openmetrics(data):
    text = data.decode()
    need(text.endswith("# EOF\n") and text.count("# EOF") == 1, "ends with # EOF")
    family, kind, families, series = None, None, set(), set()
    for line in text.splitlines()[:-1]:
        head = re.fullmatch(r"# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line)
        if head and head[1] == "TYPE":
            family, kind = head[2], head[3]
            need(family not in families, f"families are in one piece: {family}")
            need(kind in ("gauge", "counter"), f"type: {line}")
            families.add(family)
        elif head:
            need(head[2] == family, f"belongs to its family: {line}")
            need(head[1] != "UNIT" or family.endswith("_" + head[3]), f"the unit ends the name: {line}")
        else:
            sample = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{kind="[a-z-]+"\})? \d+', line)
            need(sample, f"sample: {line}")
            need(sample[1] == family + ("_total" if kind == "counter" else ""), f"name: {line}")
            need(line.rsplit(" ", 1)[0] not in series, f"once: {line}")
            series.add(line.rsplit(" ", 1)[0])


def check_csv(data):
    need(not re.search(rb"(?<!\r)\n(?=leak,|error,)", data), "rows end in CR LF")
    rows = list(csv.reader(io.StringIO(data.decode(errors="replace"), newline=""), strict=True))
    for row in rows:
        need(len(row) == len(rows[0]), f"columns: {row}")
        need(not any(cell[:1] in tuple("=+-@\t\r") and cell[:1] for cell in row), f"a formula: {row}")


def check_html(data):
    """The page itself is tested in a browser (tests/html); here its data, against the other formats' numbers."""
    page = data.decode()
    need(page.startswith("<!DOCTYPE html>") and page.endswith("</html>\n"), "a whole page")
    need(not re.search(r"<(script|link|img)[^>]*(src|href)=\"(?!data:)", page), "it loads nothing")
    document = json.loads(page.split('id="data">')[1].split("</script>")[0])
    nodes, frames = document["nodes"], document["frames"]
    for node, (parent, frame) in enumerate(zip(nodes[::2], nodes[1::2]), 1):
        need(parent < node and frame < len(frames), f"node {node}")
    for row in document["leaks"]:
        need(row[0] < len(document["processes"]) and row[10] <= len(nodes) // 2, f"leak: {row}")
    for row in document["errors"]:
        need(row[0] < len(document["processes"]) and max(row[7:10]) <= len(nodes) // 2, f"error: {row}")


def varint(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def message(data):
    """The fields of a protobuf message: {number: [values]}."""
    fields, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        need(key & 7 in (0, 2), "varints and lengths only")
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
            need(at <= len(data), "lengths")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def numbers(values):
    """The numbers of a repeated field, packed or not."""
    found = []
    for value in values:
        at = 0
        while isinstance(value, bytes) and at < len(value):
            number, at = varint(value, at)
            found.append(number)
        if isinstance(value, int):
            found.append(value)
    return found


def check_pprof(data):
    raw = gzip.decompress(data)
    if tool("protoc"):
        done = subprocess.run(["protoc", f"--proto_path={PROTO.parent}", "--decode=perftools.profiles.Profile",
                               PROTO.name], input=raw, capture_output=True, check=False)
        need(done.returncode == 0, done.stderr.decode())
        need(not re.search(rb"^\s*\d+:", done.stdout, re.M), "no unknown fields")
    profile = message(raw)
    strings = [text.decode() for text in profile[6]]
    need(strings[0] == "" and len(set(strings)) == len(strings), "strings")
    tables = {number: [message(row) for row in profile.get(number, [])] for number in (1, 2, 3, 4, 5)}
    types, samples, mappings, locations, functions = (tables[number] for number in (1, 2, 3, 4, 5))
    need([strings[row[1][0]] for row in types] == ["inuse_objects", "inuse_space"], "sample types")
    ids = {}
    for name, rows in (("mapping", mappings), ("location", locations), ("function", functions)):
        ids[name] = {row[1][0] for row in rows}
        need(len(ids[name]) == len(rows) and 0 not in ids[name], f"ids of {name}s")
    for row in functions:
        need(strings[row[2][0]], "a function has a name")
    for row in locations:
        need(row.get(2, [0])[0] in ids["mapping"] | {0}, "mapping of a location")
        for line in row[4]:
            need(message(line)[1][0] in ids["function"], "function of a line")
    for row in samples:
        need(len(numbers(row[2])) == len(types), "a value for each type")
        need(set(numbers(row.get(1, []))) <= ids["location"], "locations of a sample")
        for label in map(message, row.get(3, [])):
            need(strings[label[1][0]] and not strings[label[1][0]].startswith("pprof::"), "label")


# ---- all of them ----


def stable(data):
    """Without the version of memshim."""
    version = memshim(["--version"]).split()[1].decode()
    return data.replace(f"memshim@{version}".encode(), b"memshim@VERSION").replace(
        f'"semanticVersion":"{version}"'.encode(), b'"semanticVersion":"VERSION"')


def formats_there():
    """The formats of this build: some may be missing."""
    there = []
    for name in FORMATS:
        done = subprocess.run([MEMSHIM, "report", "--format", name, str(HERE / "golden" / "clean" / "one.jsonl")],
                              capture_output=True, check=False)
        if name in ("pprof", "html") and done.returncode != 0:
            skipped.add(f"{name} (not in this build)")
        else:
            there.append(name)
    return there


def validate(what, paths, formats, cwd, update):
    failures = 0
    for name in formats:
        try:
            data = memshim(["report", "--format", name, *paths], cwd)
            globals()[f"check_{name}"](data)
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "out"
                memshim(["report", "--format", name, "-o", str(path), *paths], cwd)
                need(path.read_bytes() == data, "a file has what standard output has")
            expected = cwd / f"expected.{name}" if cwd else None
            if name in GOLDEN and expected and update:
                expected.write_bytes(stable(data))
            elif name in GOLDEN and expected:
                need(expected.read_bytes() == stable(data), f"differs from {expected}")
            print(f"ok {what} {name}")
        except (Wrong, ValueError, KeyError, IndexError, TypeError, xml.etree.ElementTree.ParseError) as error:
            print(f"not ok {what} {name}: {type(error).__name__}: {error}")
            failures += 1
    return failures


def main():
    update = "--update" in sys.argv
    reports = [path for path in sys.argv[1:] if path != "--update"]
    formats = formats_there()
    failures = 0
    for case in sorted((HERE / "golden").iterdir()):
        paths = sorted(path.name for path in case.glob("*.jsonl"))
        failures += validate(case.name, paths, formats, case, update)
    if reports:
        failures += validate("reports", [os.path.abspath(path) for path in reports], formats, None, False)
    for name in sorted(skipped):
        print(f"skipped: {name}")
    print(f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
