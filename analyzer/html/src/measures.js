// SPDX-License-Identifier: MIT
//
// What the width of a box in the flame graph can stand for.
import { count, plural, signed, size } from "./format.js";

function pick(rows, state) {
    const kinds = state.get("kinds");
    return rows.leaks(state.get("process")).filter((row) => kinds.has(row.category));
}

function prunedText(tree) {
    return tree.pruned ? " Boxes below 1/5000 of the total are put together." : "";
}

function reportMeasures(rows, state) {
    const isCalls = () => state.get("metric") === "calls";
    const format = (value) => {
        if (state.get("metric") === "bytes") return size(value);
        return isCalls() ? plural(value, "allocation") : plural(value, "block");
    };
    const leakItem = (row) => ({ node: row.node, stacks: row.stacks, value: row[state.get("metric")] });
    const callItem = (row) => ({ node: row.node, stacks: row.stacks, value: row.calls });
    return {
        choices: [
            {
                key: "metric",
                label: "Width of a box",
                options: [
                    ["bytes", "Bytes", "Bytes that are left"],
                    ["blocks", "Blocks", "Blocks that are left"],
                    ["calls", "Allocations", "Calls of an allocator, freed since or not"],
                ],
            },
        ],
        items: () =>
            isCalls() ? rows.allocations(state.get("process")).map(callItem) : pick(rows, state).map(leakItem),
        format,
        amount: (box) => format(box.value),
        caption(tree) {
            const what = isCalls()
                ? "All allocations, freed since or not, of the stacks that are in the report: the busiest, and those that hold blocks at the end."
                : "Blocks of the kinds that are pressed above.";
            return what + prunedText(tree);
        },
        emptyText: () =>
            isCalls() ? "The report has no numbers of allocations." : "Nothing of the kinds that are pressed above.",
    };
}

function diffMeasures(rows, state) {
    const format = (value) => (state.get("metric") === "bytes" ? size(value) : plural(value, "block"));
    const before = (row) => (state.get("metric") === "bytes" ? row.oldBytes : row.oldBlocks);
    const after = (row) => (state.get("metric") === "bytes" ? row.newBytes : row.newBlocks);
    const widths = {
        change: (row) => Math.abs(after(row) - before(row)),
        after,
        before,
    };
    return {
        choices: [
            {
                key: "metric",
                label: "Unit",
                options: [
                    ["bytes", "Bytes"],
                    ["blocks", "Blocks"],
                ],
            },
            {
                key: "side",
                label: "Width of a box",
                options: [
                    ["change", "Change", "How much there is more or less"],
                    ["after", "After", "What the second run has"],
                    ["before", "Before", "What the first run had"],
                ],
            },
        ],
        items: () =>
            pick(rows, state).map((row) => ({
                node: row.node,
                stacks: 1,
                value: widths[state.get("side")](row),
                before: before(row),
                after: after(row),
            })),
        format,
        amount(box) {
            const unit = state.get("metric") === "bytes" ? size : count;
            return `${format(box.before)} \u2192 ${format(box.after)} (${signed(box.after - box.before, unit)})`;
        },
        caption: (tree) => `Stacks that are equal in both runs are not drawn.${prunedText(tree)}`,
        emptyText: () => "Nothing of the kinds that are pressed above.",
    };
}

export function measuresOf(document, rows, state) {
    return document.isDiff ? diffMeasures(rows, state) : reportMeasures(rows, state);
}
