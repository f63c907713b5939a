// SPDX-License-Identifier: MIT
//
// The page of a report: reads the data that stands in the page, puts the parts together, and redraws what a choice changes.
import { changeCategories, leakCategories } from "./categories.js";
import { readDocument } from "./data.js";
import { h, replace } from "./dom.js";
import { baseName, duration, ending, plural, processName, size } from "./format.js";
import { notesElement } from "./processes.js";
import { createRows } from "./rows.js";
import { createState } from "./state.js";
import { createBoxes, diffVerdict, sumUp, verdict } from "./summary.js";
import { tabList } from "./tabs.js";
import { themeButton } from "./theme.js";
import { createViews } from "./views.js";

function titleOf({ processes, isDiff }) {
    const first = processes[0];
    const command = first
        ? first.argv.map((word, i) => (i === 0 ? baseName(word) : word)).join(" ") || baseName(first.program)
        : "no process";
    const others = processes.length > 1 ? ` and ${plural(processes.length - 1, "more process", "more processes")}` : "";
    return `${isDiff ? "Difference: " : ""}${command}${others}`;
}

// What is lost is shown at first; the rest waits behind its box.
function firstKinds(categories) {
    return new Set(categories.filter(({ lost }) => lost).map(({ key }) => key));
}

function factsText(processes) {
    const allocations = processes.reduce((sum, process) => sum + process.allocations, 0);
    const one = processes.length === 1 ? processes[0] : null;
    return [
        one ? `process ${one.pid}` : plural(processes.length, "process", "processes"),
        one?.python ? `Python ${one.python}` : null,
        one ? ending(one) : null,
        one ? duration(one.microseconds) : null,
        plural(allocations, "allocation"),
        one ? `peak ${size(one.peak_bytes)}` : null,
    ]
        .filter(Boolean)
        .join(" \u00b7 ");
}

function hiddenText({ leaks, hidden, errorsHidden, sums }) {
    if (sums?.hidden)
        return `Left out: ${plural(sums.hidden, "smaller difference")} (memshim diff --top 0 writes all).`;
    const small = sumUp(leaks.filter(({ rest }) => rest)).stacks;
    const summed = small > 0 ? `The ${plural(small, "smallest leak")} are summed up by kind. ` : "";
    const parts = [];
    if (hidden[0] > 0) parts.push(`${plural(hidden[0], "leak")} of ${plural(hidden[2], "byte")}`);
    if (errorsHidden > 0) parts.push(plural(errorsHidden, "error"));
    return summed + (parts.length > 0 ? `Left out when this page was written: ${parts.join(", ")}.` : "");
}

function processTabs(document, rows, state, panel) {
    if (document.processes.length < 2 || document.isDiff) return null;
    const lost = (process) =>
        rows.leaks(process).filter(({ category }) => leakCategories.find(({ key }) => key === category).lost);
    const note = (process) => {
        const stacks = sumUp(lost(process)).stacks;
        return stacks + rows.errors(process).length || undefined;
    };
    const tabs = [
        { key: null, label: "All processes", note: note(null) },
        ...document.processes.map((process) => ({
            key: process.index,
            label: processName(process),
            title: process.argv.join(" "),
            note: note(process.index),
        })),
    ];
    return tabList({ label: "Processes", name: "processes", tabs, panel, chosen: (process) => state.set({ process }) });
}

function start() {
    const document = readDocument(window.document.getElementById("data").textContent);
    const categories = document.isDiff ? changeCategories : leakCategories;
    const rows = createRows(document);
    const state = createState({
        process: null,
        view: "leaks",
        kinds: firstKinds(categories),
        query: "",
        metric: "bytes",
        side: "change",
        direction: "icicle",
        runtime: false,
    });
    const said = h("p", { role: "status" });
    const facts = h("p", { class: "quiet facts" });
    const notes = h("div", { class: "all-notes" });
    const boxes = createBoxes({ categories, state, isDiff: document.isDiff });
    const main = h("main");
    const processes = processTabs(document, rows, state, main);
    const views = createViews({ document, rows, state });
    const title = titleOf(document);

    function showProcess() {
        const process = state.get("process");
        const { text, mood } = document.isDiff
            ? diffVerdict(document)
            : verdict(rows.leaks(process), rows.errors(process), rows.growth(process));
        said.className = `verdict ${mood}`;
        said.textContent = text;
        facts.textContent = factsText(process === null ? document.processes : [document.processes[process]]);
        replace(notes, notesElement(process === null ? document.processes : [document.processes[process]]));
        processes?.select(process);
    }

    const showBoxes = () => boxes.show(rows.leaks(state.get("process")));

    window.document.title = `${title} \u2013 memshim`;
    replace(main, said, facts, notes, boxes.element, views.element, h("p", { class: "quiet" }, hiddenText(document)));
    replace(
        window.document.getElementById("app"),
        h("header", {}, h("span", { class: "brand" }, "memshim"), h("h1", { title }, title), themeButton()),
        processes && h("nav", { "aria-label": "Processes" }, processes.element),
        main,
        h(
            "footer",
            { class: "quiet" },
            `memshim ${document.version}. This page is complete: it loads nothing and sends nothing.`,
        ),
    );
    state.watch(["process"], showProcess);
    state.watch(["process", "kinds"], showBoxes);
    showProcess();
    showBoxes();
    views.start();
}

start();
