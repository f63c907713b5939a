// SPDX-License-Identifier: MIT
//
// What stands above the views: the verdict in one line, and a box for each kind of leak that shows and hides it.
import { h, replace } from "./dom.js";
import { count, plural, signed, size } from "./format.js";

export function sumUp(rows) {
    const sum = { stacks: 0, blocks: 0, bytes: 0 };
    for (const row of rows) {
        sum.stacks += row.stacks ?? 1;
        sum.blocks += row.blocks;
        sum.bytes += row.bytes;
    }
    return sum;
}

const phrases = {
    definite: "definitely lost",
    indirect: "indirectly lost",
    possible: "possibly lost",
    referenced: "over-referenced",
};

function amount(leaks, category) {
    const sum = sumUp(leaks.filter((leak) => leak.category === category));
    return sum.stacks > 0 ? `${plural(sum.bytes, "byte")} in ${plural(sum.blocks, "block")}` : null;
}

// { text, mood } for leaks, errors and stacks that grow; mood: "bad", "good", or "unsure" where nobody could look for pointers.
export function verdict(leaks, errors, growth) {
    const parts = errors.length > 0 ? [plural(errors.length, "memory error")] : [];
    for (const [key, phrase] of Object.entries(phrases)) {
        const found = amount(leaks, key);
        if (found) parts.push(`${found} ${phrase}`);
    }
    const unknown = amount(leaks, "allocated");
    if (unknown) parts.push(`${unknown} still allocated`);
    const sure = parts.length > (unknown ? 1 : 0);
    if (parts.length === 0) parts.push("Nothing is lost");
    if (growth.length > 0) parts.push(`${plural(growth.length, "stack")} growing`);
    return { text: parts.join(", "), mood: sure ? "bad" : unknown || growth.length > 0 ? "unsure" : "good" };
}

export function diffVerdict({ sums }) {
    const counts = ["new", "grown", "shrunk", "gone"]
        .filter((key) => sums[key] > 0)
        .map((key) => `${count(sums[key])} ${key}`);
    const moreErrors = sums.new_errors > sums.old_errors;
    const errors =
        sums.old_errors || sums.new_errors
            ? `; errors: ${count(sums.old_errors)} \u2192 ${count(sums.new_errors)}`
            : "";
    if (counts.length === 0) return { text: `No difference${errors}`, mood: moreErrors ? "bad" : "good" };
    const bytes = signed(sums.new_bytes - sums.old_bytes, count);
    const blocks = signed(sums.new_blocks - sums.old_blocks, count);
    const worse = sums.new + sums.grown > 0 || moreErrors;
    return { text: `${counts.join(", ")}: ${bytes} bytes, ${blocks} blocks${errors}`, mood: worse ? "bad" : "good" };
}

// Boxes that show and hide a category. Those without leaks are left out.
export function createBoxes({ categories, state, isDiff }) {
    const element = h("div", { class: "boxes", role: "group", "aria-label": "Kinds shown" });
    const number = (bytes) => (isDiff ? signed(bytes, size) : size(bytes));

    function toggle(key) {
        const kinds = new Set(state.get("kinds"));
        if (!kinds.delete(key)) kinds.add(key);
        state.set({ kinds });
    }

    function box(category, rows) {
        const sum = sumUp(rows);
        const pressed = state.get("kinds").has(category.key);
        return h(
            "button",
            {
                type: "button",
                class: `box ${category.key}`,
                title: `${category.title} Press to show or hide them.`,
                "aria-pressed": String(pressed),
                onclick: () => toggle(category.key),
                "data-kind": category.key,
            },
            h("span", { class: "label" }, category.label),
            h("span", { class: "amount" }, number(sum.bytes)),
            h(
                "span",
                { class: "quiet" },
                `${plural(Math.abs(sum.blocks), "block")} \u00b7 ${plural(sum.stacks, "stack")}`,
            ),
        );
    }

    return {
        element,
        show(rows) {
            const focused = document.activeElement?.dataset?.kind;
            const filled = categories.map((category) => [
                category,
                rows.filter((row) => row.category === category.key),
            ]);
            replace(
                element,
                filled.filter(([, found]) => found.length > 0).map(([category, found]) => box(category, found)),
            );
            if (focused) element.querySelector(`[data-kind="${focused}"]`)?.focus();
        },
    };
}
