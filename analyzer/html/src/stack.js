// SPDX-License-Identifier: MIT
//
// A stack as a list of frames, innermost first. Runs of runtime frames are folded, and unfold on request.
import { CUT, framesOf, INLINED, PYTHON, RUNTIME } from "./data.js";
import { h } from "./dom.js";
import { fullPlace, place, plural } from "./format.js";

const UNFOLDED_MAX = 8; // frames of a stack that has runtime frames only

function frameItem(frame, number) {
    const language = frame.bits & CUT ? "" : frame.bits & PYTHON ? "py" : "c";
    return h(
        "li",
        { class: `frame ${frame.bits & RUNTIME ? "runtime" : ""}` },
        h("span", { class: "number" }, `#${number}`),
        h("span", { class: `language ${language}`, title: language === "py" ? "Python" : "native" }, language),
        h("code", {}, frame.name),
        h("span", { class: "place", title: fullPlace(frame) }, fullPlace(frame)),
        frame.file && frame.module
            ? h("span", { class: "module", title: frame.module }, `in ${place({ module: frame.module })}`)
            : null,
        frame.bits & INLINED ? h("span", { class: "module" }, "inlined") : null,
    );
}

function fold(frames, first, list) {
    const button = h("button", { type: "button", class: "fold" }, `\u2026 ${plural(frames.length, "runtime frame")}`);
    const item = h("li", {}, button);
    button.addEventListener("click", () => {
        const items = frames.map((frame, i) => frameItem(frame, first + i));
        item.replaceWith(...items);
        items[0].tabIndex = -1;
        items[0].focus();
    });
    list.append(item);
}

export function stackList(document, node) {
    const frames = framesOf(document, node);
    if (frames.length === 0) return h("p", { class: "quiet" }, "No stack was recorded.");
    const list = h("ol", { class: "stack" });
    const folds = frames.some((frame) => !(frame.bits & RUNTIME)) || frames.length > UNFOLDED_MAX;
    for (let i = 0; i < frames.length;) {
        let end = i;
        while (folds && end < frames.length && frames[end].bits & RUNTIME) end++;
        if (end > i) fold(frames.slice(i, end), i, list);
        else list.append(frameItem(frames[end], end++));
        i = end;
    }
    return list;
}

// The two frames that say most: the innermost that is not the runtime's, and the innermost Python one beyond it.
export function interesting(document, node) {
    const frames = framesOf(document, node);
    const own = frames.filter((frame) => !(frame.bits & (RUNTIME | CUT)));
    const first = own[0] ?? frames.find((frame) => !(frame.bits & CUT)) ?? null;
    const python = own.find((frame) => frame.bits & PYTHON) ?? null;
    return { first, caller: python === first ? (own[own.indexOf(first) + 1] ?? null) : python };
}

export function whereCell(document, row) {
    if (row.rest) return h("span", { class: "quiet" }, `${plural(row.stacks, "smaller stack")}, summed up`);
    const { first, caller } = (row.place ??= interesting(document, row.node));
    if (!first) return h("span", { class: "quiet" }, "no stack recorded");
    const line = (frame, words) =>
        h(
            "span",
            { class: "line" },
            words,
            h("code", {}, frame.name),
            " ",
            h("span", { class: "place" }, place(frame)),
        );
    return h("span", { class: "where" }, line(first, ""), caller ? line(caller, "from ") : null);
}
