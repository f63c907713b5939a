// SPDX-License-Identifier: MIT
//
// Rows of the chosen processes. Where all are chosen, the same leak of several processes is one row.

// Rows of single processes by process.
function byProcess(rows, count) {
    const lists = Array.from({ length: count }, () => []);
    for (const row of rows) lists[row.processes[0]]?.push(row);
    return lists;
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
export function createRows({ isDiff, leaks, changes, errors, growth, allocations, processes }) {
    const choose = (rows) => {
        let lists = null;
        return (process) => (process === null ? rows : (lists ??= byProcess(rows, processes.length))[process]);
    };
    const leaksOf = choose(leaks);
    let all = isDiff ? changes : null;
    const allLeaks = () => (all ??= processes.length > 1 ? joined(leaks) : leaks);
    return {
        leaks: (process) => (process === null ? allLeaks() : leaksOf(process)),
        errors: choose(errors),
        growth: choose(growth),
        allocations: choose(allocations),
    };
}
