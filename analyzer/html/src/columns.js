// SPDX-License-Identifier: MIT
//
// The columns of the tables.
import { changeCategories, labelOf, leakCategories } from "./categories.js";
import { h } from "./dom.js";
import { count, duration, ending, plural, processName, signed, size } from "./format.js";
import { interesting, whereCell } from "./stack.js";

function badge(categories, key) {
    return h("span", { class: `badge ${key}` }, labelOf(categories, key));
}

// A number with a bar behind it: its part of the largest.
function bar(text, part, title) {
    const cell = h("span", { class: "bar", title }, text);
    cell.style.setProperty("--part", `${Math.round(100 * Math.min(1, Math.abs(part) || 0))}%`);
    return cell;
}

function whereText(document, row) {
    row.place ??= interesting(document, row.node);
    return row.place.first?.name ?? "";
}

function where(document) {
    return {
        key: "where",
        label: "Where",
        value: (row) => whereText(document, row),
        cell: (row) => whereCell(document, row),
    };
}

function processes(document) {
    const names = document.processes.map(processName);
    const text = (row) =>
        row.processes.length === 1 ? names[row.processes[0]] : plural(row.processes.length, "process", "processes");
    return document.processes.length < 2 ? [] : [{ key: "process", label: "Process", value: text, cell: text }];
}

const domain = { key: "domain", label: "Allocator", value: (row) => row.domain, cell: (row) => row.domain ?? "" };
const type = { key: "type", label: "Type", value: (row) => row.type, cell: (row) => row.type ?? "" };

export function leakColumns(document, largest) {
    return [
        {
            key: "bytes",
            label: "Bytes",
            number: true,
            value: (row) => row.bytes,
            cell: (row) => bar(count(row.bytes), row.bytes / largest(), size(row.bytes)),
        },
        { key: "blocks", label: "Blocks", number: true, value: (row) => row.blocks, cell: (row) => count(row.blocks) },
        {
            key: "kind",
            label: "Kind",
            value: (row) => leakCategories.findIndex(({ key }) => key === row.category),
            cell: (row) => badge(leakCategories, row.category),
        },
        where(document),
        type,
        domain,
        ...processes(document),
    ];
}

export function changeColumns(document, largest) {
    return [
        {
            key: "bytes",
            label: "Bytes",
            number: true,
            value: (row) => Math.abs(row.bytes),
            cell: (row) =>
                bar(
                    signed(row.bytes, count),
                    row.bytes / largest(),
                    `${count(row.oldBytes)} \u2192 ${count(row.newBytes)}`,
                ),
        },
        {
            key: "blocks",
            label: "Blocks",
            number: true,
            value: (row) => row.blocks,
            cell: (row) => signed(row.blocks, count),
        },
        {
            key: "kind",
            label: "Change",
            value: (row) => changeCategories.findIndex(({ key }) => key === row.category),
            cell: (row) => badge(changeCategories, row.category),
        },
        where(document),
        type,
        domain,
        { key: "lost", label: "Kind", value: (row) => row.kind, cell: (row) => badge(leakCategories, row.kind) },
    ];
}

export function errorColumns(document) {
    return [
        {
            key: "kind",
            label: "Kind",
            value: (row) => row.kind,
            cell: (row) => h("span", { class: "badge error" }, row.kind),
        },
        { key: "count", label: "Count", number: true, value: (row) => row.count, cell: (row) => count(row.count) },
        { key: "size", label: "Block size", number: true, value: (row) => row.size, cell: (row) => count(row.size) },
        where(document),
        { key: "detail", label: "Detail", value: (row) => row.detail, cell: (row) => row.detail ?? "" },
        domain,
        ...processes(document),
    ];
}

export function growthColumns(document) {
    const whole = (value) => count(Math.round(value));
    const certainty = (row) => `${(100 * Math.min(row.confidence, 0.999)).toFixed(1)} %`;
    return [
        {
            key: "bytes",
            label: "Bytes an interval",
            number: true,
            value: (row) => row.bytes,
            cell: (row) => whole(row.bytes),
        },
        { key: "blocks", label: "Blocks", number: true, value: (row) => row.blocks, cell: (row) => whole(row.blocks) },
        {
            key: "rate",
            label: "Bytes a second",
            number: true,
            value: (row) => row.rate,
            cell: (row) => whole(row.rate),
        },
        { key: "confidence", label: "Confidence", number: true, value: (row) => row.confidence, cell: certainty },
        where(document),
        ...processes(document),
    ];
}

export function processColumns() {
    return [
        {
            key: "program",
            label: "Process",
            value: (row) => row.program,
            cell: (row) => h("strong", {}, processName(row)),
        },
        { key: "end", label: "End", value: ending, cell: ending },
        {
            key: "time",
            label: "Time",
            number: true,
            value: (row) => row.microseconds,
            cell: (row) => duration(row.microseconds),
        },
        {
            key: "allocations",
            label: "Allocations",
            number: true,
            value: (row) => row.allocations,
            cell: (row) => count(row.allocations),
        },
        {
            key: "peak",
            label: "Peak",
            number: true,
            value: (row) => row.peak_bytes,
            cell: (row) => size(row.peak_bytes),
        },
        {
            key: "live",
            label: "Live at the end",
            number: true,
            value: (row) => row.live_bytes,
            cell: (row) => size(row.live_bytes),
        },
    ];
}
