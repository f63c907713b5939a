// SPDX-License-Identifier: MIT
//
// Why a leak is there: what holds one of its blocks, as far as the report has looked.
import { h } from "./dom.js";
import { visible } from "./format.js";

const key = (process, kind, fingerprint) => `${process} ${kind} ${fingerprint}`;

// Texts by process, kind and fingerprint, made when they are first asked for.
function textsOf(document) {
    document.explanations ??= new Map(
        document.why.map(([process, kind, fingerprint, text]) => [key(process, kind, fingerprint), text]),
    );
    return document.explanations;
}

// Titles end in a colon; the lines below them go from the root, or the first lost block, to the block itself.
function lineElement(line) {
    const text = visible(line.trim());
    if (text.endsWith(":")) return h("h2", {}, text[0].toUpperCase() + text.slice(1, -1));
    return h("p", { class: "link" }, text);
}

// An element, or null if nothing is known.
export function explanation(document, row) {
    if (!row.processes) return null;
    const texts = textsOf(document);
    const text = row.processes.map((process) => texts.get(key(process, row.kind, row.fingerprint))).find(Boolean);
    return text ? h("div", { class: "why" }, text.split("\n").filter(Boolean).map(lineElement)) : null;
}
