// SPDX-License-Identifier: MIT
//
// Rows of the chosen processes. Where all are chosen, the same leak of several processes is one row.

function ofProcess(rows, process) {
    return process === null ? rows : rows.filter((row) => row.processes.includes(process));
}

function joined(rows) {
    const found = new Map();
    for (const row of rows) {
        const key = row.rest ? `${row.kind} ${row.category}` : `${row.fingerprint} ${row.kind} ${row.category}`;
        const other = found.get(key);
        if (!other) {
            found.set(key, { ...row, processes: row.processes.slice() });
            continue;
        }
        other.blocks += row.blocks;
        other.bytes += row.bytes;
        other.error = Math.hypot(other.error, row.error);
        if (row.rest) other.stacks += row.stacks;
        if (!other.processes.includes(row.processes[0])) other.processes.push(row.processes[0]);
    }
    return [...found.values()];
}

// Functions of the chosen process (null: all), which remember their answers.
export function createRows(document) {
    const leaks = new Map();
    return {
        leaks(process) {
            if (document.isDiff) return document.changes;
            if (!leaks.has(process)) {
                const found = ofProcess(document.leaks, process);
                leaks.set(process, process === null && document.processes.length > 1 ? joined(found) : found);
            }
            return leaks.get(process);
        },
        errors: (process) => ofProcess(document.errors, process),
        allocations: (process) => ofProcess(document.allocations, process),
    };
}
