// SPDX-License-Identifier: MIT
//
// What an open row shows: the stacks, and what else is known about the leak or the error.
import { h } from "./dom.js";
import { explanation } from "./explanations.js";
import { plural, processName, count } from "./format.js";
import { stackList } from "./stack.js";

const PROCESSES_SHOWN = 12;

function fact(name, value) {
    return value ? h("div", {}, h("dt", {}, name), h("dd", {}, value)) : null;
}

function processesOf(document, row) {
    if (document.processes.length < 2 || !row.processes) return null;
    const names = row.processes.slice(0, PROCESSES_SHOWN).map((index) => processName(document.processes[index]));
    const more = row.processes.length - names.length;
    return names.join(", ") + (more > 0 ? ` and ${count(more)} more` : "");
}

function copyButton(text) {
    const button = h("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", async () => {
        try {
            await navigator.clipboard.writeText(text);
            button.textContent = "Copied";
        } catch {
            getSelection().selectAllChildren(button.previousElementSibling); // no clipboard here: at least marked
        }
    });
    return button;
}

function fingerprint(row) {
    return row.fingerprint ? [h("code", {}, row.fingerprint), " ", copyButton(row.fingerprint)] : null;
}

export function leakDetails(document, row, showInGraph) {
    if (row.rest)
        return h(
            "p",
            { class: "quiet" },
            "The smallest leaks have no rows of their own here. ",
            h("code", {}, "memshim report --top 0"),
            " writes them all.",
        );
    return h(
        "div",
        { class: "details" },
        row.audit.map((sentence) => h("p", { class: "audit" }, sentence)),
        stackList(document, row.node),
        explanation(document, row),
        h(
            "dl",
            {},
            fact("Processes", processesOf(document, row)),
            fact(
                "Before",
                row.oldBytes === undefined
                    ? null
                    : `${plural(row.oldBytes, "byte")} in ${plural(row.oldBlocks, "block")}`,
            ),
            fact(
                "After",
                row.newBytes === undefined
                    ? null
                    : `${plural(row.newBytes, "byte")} in ${plural(row.newBlocks, "block")}`,
            ),
            fact("Standard error", row.error > 0 ? plural(row.error, "byte") : null),
            fact("Label", row.label ?? null),
            fact("Suppressed by", row.rule ? h("code", {}, row.rule) : null),
            fact("Fingerprint", fingerprint(row)),
        ),
        h("button", { type: "button", class: "to-graph", onclick: () => showInGraph(row) }, "Show in the flame graph"),
    );
}

export function growthDetails(document, row) {
    const side = (bytes, blocks) => `${plural(bytes, "byte")} in ${plural(blocks, "block")}`;
    return h(
        "div",
        { class: "details" },
        stackList(document, row.node),
        h(
            "dl",
            {},
            fact("First", side(row.firstBytes, row.firstBlocks)),
            fact("Last", side(row.lastBytes, row.lastBlocks)),
            fact("Intervals", count(row.intervals)),
            fact("Processes", processesOf(document, row)),
            fact("Fingerprint", fingerprint(row)),
        ),
    );
}

export function errorDetails(document, row) {
    const part = (title, node) => (node ? [h("h2", {}, title), stackList(document, node)] : []);
    return h(
        "div",
        { class: "details" },
        h("p", {}, row.detail ?? ""),
        part("Found", row.node),
        part("Allocated by", row.allocated),
        part("Freed by", row.freed),
        h("dl", {}, fact("Address", h("code", {}, row.address)), fact("Processes", processesOf(document, row))),
    );
}
