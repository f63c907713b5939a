// SPDX-License-Identifier: MIT
//
// The document that out_html.c and tables.c write, as objects. The names of columns and bits here are theirs there.
import { visible } from "./format.js";

export const PYTHON = 1;
export const CUT = 2;
export const INLINED = 4;
export const RUNTIME = 8;

const KNOWN = 1;
const STARTUP = 2;
const INTERPRETER = 4;
const SUPPRESSED = 8;
const OVER_REFERENCED = 16;

// Files below the folder in which the page was written are named from there.
function readFrame(folder, [bits, name, file, line, module], id) {
    const short = folder && file?.startsWith(`${folder}/`) ? file.slice(folder.length + 1) : file;
    return { id, bits, name: visible(name), file: visible(short), line, module: visible(module) };
}

// Which of the summary's boxes a leak belongs to.
function categoryOf(kind, flags) {
    if (flags & STARTUP) return "startup";
    if (flags & INTERPRETER) return "interpreter";
    if (flags & SUPPRESSED) return "suppressed";
    if (kind === "reachable" && flags & OVER_REFERENCED) return "referenced";
    return flags & KNOWN ? kind : "allocated";
}

// The sentences of the reference audit, one a line.
function readAudit(text) {
    return (text ?? "")
        .split("\n")
        .map((line) => visible(line.trim()))
        .filter(Boolean);
}

function readLeak(row) {
    const [process, kind, flags, stacks, blocks, bytes, error, domain, type, fingerprint, node, rule, audit, label] =
        row;
    return {
        processes: [process],
        category: categoryOf(kind, flags),
        kind,
        stacks,
        blocks,
        bytes,
        error,
        domain: visible(domain),
        type: visible(type),
        fingerprint,
        node,
        rule: visible(rule),
        audit: readAudit(audit),
        label: visible(label),
        rest: fingerprint === null,
    };
}

function readChange(row) {
    const [
        change,
        kind,
        flags,
        oldBlocks,
        oldBytes,
        newBlocks,
        newBytes,
        domain,
        type,
        fingerprint,
        node,
        rule,
        audit,
    ] = row;
    return {
        category: change,
        kind: flags & KNOWN ? kind : "allocated",
        oldBlocks,
        oldBytes,
        newBlocks,
        newBytes,
        blocks: newBlocks - oldBlocks,
        bytes: newBytes - oldBytes,
        domain: visible(domain),
        type: visible(type),
        fingerprint,
        node,
        rule: visible(rule),
        audit: readAudit(audit),
    };
}

function readError([process, kind, domain, detail, address, size, count, found, allocated, freed]) {
    return {
        processes: [process],
        kind: visible(kind),
        domain: visible(domain),
        detail: visible(detail),
        address,
        size,
        count,
        node: found,
        allocated,
        freed,
    };
}

function readGrowth(row) {
    const [
        process,
        fingerprint,
        intervals,
        firstBlocks,
        firstBytes,
        lastBlocks,
        lastBytes,
        blocks,
        bytes,
        rate,
        confidence,
        node,
    ] = row;
    return {
        processes: [process],
        fingerprint,
        intervals,
        firstBlocks,
        firstBytes,
        lastBlocks,
        lastBytes,
        blocks,
        bytes,
        rate,
        confidence,
        node,
    };
}

function readAllocations([process, node, stacks, calls, bytes]) {
    return { processes: [process], node, stacks, calls, bytes };
}

function readProcess(row, index) {
    const program = visible(row.program) || "?";
    return { ...row, index, program, argv: row.argv.map(visible), lacks: row.lacks.map(visible) };
}

// The tree of calls: node n (from 1) is frame frameOf[n], called by node parentOf[n], 0 being nobody.
function readNodes(flat) {
    const count = flat.length / 2 + 1;
    const parentOf = new Uint32Array(count);
    const frameOf = new Uint32Array(count);
    for (let node = 1; node < count; node++) {
        parentOf[node] = flat[2 * node - 2];
        frameOf[node] = flat[2 * node - 1];
    }
    return { count, parentOf, frameOf };
}

export function readDocument(text) {
    const raw = JSON.parse(text);
    const { count, parentOf, frameOf } = readNodes(raw.nodes);
    return {
        isDiff: raw.mode === "diff",
        version: raw.version,
        processes: raw.processes.map(readProcess),
        errors: (raw.errors ?? []).map(readError),
        leaks: (raw.leaks ?? []).map(readLeak),
        changes: (raw.changes ?? []).map(readChange),
        allocations: (raw.allocations ?? []).map(readAllocations),
        growth: (raw.growth ?? []).map(readGrowth),
        why: raw.why ?? [],
        hidden: raw.hidden ?? [0, 0, 0],
        errorsHidden: raw.errors_hidden ?? 0,
        sums: raw.sums,
        nodeCount: count,
        parentOf,
        frameOf,
        frames: raw.frames.map((row, id) => readFrame(raw.folder, row, id)),
    };
}

// The frames of a node, innermost first.
export function framesOf(document, node) {
    const frames = [];
    for (; node > 0; node = document.parentOf[node]) frames.push(document.frames[document.frameOf[node]]);
    return frames;
}
