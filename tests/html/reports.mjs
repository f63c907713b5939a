// SPDX-License-Identifier: MIT
//
// Reports as memshim's library writes them, for the browser test: two runs of two processes.
import { writeFileSync } from "node:fs";

// Would be markup, script, a line end of JavaScript's, a control character, or turn the direction of writing.
export const EVIL = "</script><img src=x onerror=alert(1)>\u2028\u0007\u202e{{x}}&amp;";

const codes = [
    ["/srv/app.py", "main"],
    ["/srv/app.py", "serve"],
    ["/srv/store.py", "remember"],
    ["/srv/store.py", "forget"],
    ["/srv/evil.py", EVIL],
    ["/srv/app.py", "never_lost"],
];

const MAIN = 1,
    SERVE = 2,
    REMEMBER = 3,
    FORGET = 4,
    EVIL_CODE = 5,
    NEVER = 6;

// Stacks, outermost frame first, with what they hold.
const leaks = [
    { stack: [MAIN, SERVE, REMEMBER], kind: "definite", type: "list", blocks: 40, bytes: 4000, allocations: 50 },
    { stack: [MAIN, SERVE, FORGET], kind: "definite", type: "dict", blocks: 70, bytes: 2000, allocations: 900 },
    { stack: [MAIN, EVIL_CODE], kind: "possible", type: EVIL, blocks: 1, bytes: 100, allocations: 1 },
    { stack: [MAIN, NEVER], kind: "reachable", type: "bytes", blocks: 10, bytes: 500, allocations: 10 },
];

function processLines(pid, options) {
    const lines = [
        {
            memshim: 1,
            schema: "memshim-report-lines/1",
            version: "0.1.0",
            pid,
            ppid: 1,
            sequence: 0,
            program: `/usr/bin/${options.program}`,
            argv: [options.program, "serve", EVIL],
            python: "3.11.2",
            started: `2026-01-31T12:00:0${options.number}.000000Z`,
            options: "",
            forked: options.number > 0,
        },
    ];
    codes.forEach(([file, name], i) =>
        lines.push({
            code: i + 1,
            file,
            name,
            qualname: name,
            first_line: 10 * (i + 1),
            table_kind: "none",
            table: "",
        }),
    );
    codes.forEach((_, i) =>
        lines.push({ frame: i + 1, language: "python", code: i + 1, instruction: 0, entry: false }),
    );
    return lines;
}

function addStacks(lines, rows) {
    const nodes = new Map();
    return rows.map(({ stack }) =>
        stack.reduce((parent, frame) => {
            const key = `${parent} ${frame}`;
            if (!nodes.has(key)) {
                nodes.set(key, nodes.size + 1);
                lines.push({ stack: nodes.size, parent, frame });
            }
            return nodes.get(key);
        }, 0),
    );
}

function report(pid, options) {
    const lines = processLines(pid, options);
    const rows = leaks.map(options.change ?? ((leak) => leak)).filter(Boolean);
    const nodes = addStacks(lines, rows);
    rows.forEach(({ allocations, bytes }, i) =>
        lines.push({ trace: i + 1, native: 0, python: nodes[i], allocations, bytes }),
    );
    rows.forEach(({ kind, type, blocks, bytes }, i) =>
        lines.push({
            group: i + 1,
            trace: i + 1,
            kind,
            known: true,
            domain: "obj",
            type,
            startup: false,
            blocks,
            bytes,
        }),
    );
    // The first stack grows from mark to mark, if it is lost.
    const marks = [0, 1, 2, 3, 4, 5, 6, 7];
    for (const i of marks)
        lines.push({
            mark: i + 1,
            name: null,
            time: `2026-01-31T12:00:0${i}.000000Z`,
            live_blocks: 10 * i,
            live_bytes: 1000 * i,
        });
    const counts = { blocks: marks.map((i) => 10 * i), bytes: marks.map((i) => 1000 * i) };
    if (rows[0].kind === "definite") lines.push({ growth: 1, trace: 1, ...counts, garbage_blocks: 0, garbage_bytes: 0 });
    const link = { kind: "definite", domain: "obj", size: 64 };
    lines.push({ why: 1, of: 1, role: "block", trace: 1, type: "list", ...link });
    lines.push({ why: 2, of: 1, role: "holder", trace: 1, type: EVIL, offset: "0x10", name: "cache", ...link });
    if (options.error)
        lines.push({
            error: 1,
            kind: "use-after-free",
            domain: "mem",
            address: "0x10",
            size: 16,
            count: 4,
            detail: EVIL,
            trace: 1,
            alloc_trace: 2,
            free_trace: 2,
        });
    const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
    lines.push({
        totals: true,
        allocations: sum("allocations"),
        frees: 0,
        live_blocks: sum("blocks"),
        live_bytes: sum("bytes"),
        peak_bytes: sum("bytes"),
        dropped: 0,
        startup_blocks: 0,
        startup_bytes: 0,
        inherited_frees: 0,
        threads: 1,
        self_checks: 0,
        self_check_differences: 0,
    });
    lines.push({
        end: true,
        ended: "exit",
        status: 0,
        time: "2026-01-31T12:00:09.000000Z",
        lacks: options.lacks ?? [],
        lines: lines.length,
    });
    return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

// Writes folder/old and folder/new; the newer run has lost the second leak, and more of the first.
export function writeReports(folder) {
    const half = (leak) => ({ ...leak, blocks: Math.ceil(leak.blocks / 2), bytes: leak.bytes / 2 });
    writeFileSync(`${folder}/new-1.jsonl`, report(100, { number: 0, program: "server", error: true, lacks: [EVIL] }));
    writeFileSync(`${folder}/new-2.jsonl`, report(200, { number: 1, program: "worker", change: half }));
    writeFileSync(
        `${folder}/old.jsonl`,
        report(50, {
            number: 0,
            program: "server",
            change: (leak, i) => (i === 0 ? half(leak) : i === 1 ? null : leak),
        }),
    );
    writeFileSync(
        `${folder}/clean.jsonl`,
        report(60, { number: 0, program: "server", change: (leak, i) => (i === 3 ? leak : null) }),
    );
}
