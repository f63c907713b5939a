// SPDX-License-Identifier: MIT
//
// The views below the summary and the search field that they share: it filters tables, and marks boxes of the flame graph.
import { changeColumns, errorColumns, growthColumns, leakColumns, processColumns } from "./columns.js";
import { errorDetails, growthDetails, leakDetails } from "./details.js";
import { debounced, h, replace } from "./dom.js";
import { createFlame } from "./flame.js";
import { count, plural, size } from "./format.js";
import { processDetails } from "./processes.js";
import { createFilter } from "./search.js";
import { sumUp } from "./summary.js";
import { createTable } from "./table.js";
import { tabList } from "./tabs.js";

const TYPING = 150; // milliseconds without a key after which the search runs

const searchLabels = {
    leaks: "Filter: function, file, library, type or kind",
    errors: "Filter: function, file, library or kind",
    growth: "Filter: function, file or library",
    flame: "Mark frames: function, file or library",
    processes: "Filter: program or process id",
};

function leakText(row) {
    return `${row.kind ?? ""} ${row.category ?? ""} ${row.type ?? ""} ${row.domain ?? ""} ${row.fingerprint ?? ""} ${row.rule ?? ""} ${row.audit?.join(" ") ?? ""}`;
}

function errorText(row) {
    return `${row.kind} ${row.domain ?? ""} ${row.detail ?? ""} ${row.address}`;
}

// A view with one table: { element, show() }, `count()` being the rows of the last show.
function tableView({ table, rowsOf, emptyText, summaryText }) {
    const empty = h("p", { class: "empty quiet" });
    const summary = h("p", { class: "quiet found", role: "status" });
    return {
        element: h("div", {}, summary, table.element, empty),
        show() {
            const rows = rowsOf();
            replace(empty, rows.length === 0 ? emptyText() : null);
            summary.textContent = rows.length === 0 ? "" : summaryText(rows);
            table.show(rows);
        },
    };
}

export function createViews({ document, rows, state }) {
    let largest = 1;
    const flame = createFlame({ document, rows, state });
    const leakFilter = createFilter(document, (row) => [row.node], leakText);
    const errorFilter = createFilter(document, (row) => [row.node, row.allocated, row.freed], errorText);

    function chosenLeaks() {
        const kinds = state.get("kinds");
        const all = rows.leaks(state.get("process")).filter((row) => kinds.has(row.category));
        largest = all.reduce((most, row) => Math.max(most, Math.abs(row.bytes)), 1);
        return all.filter(leakFilter(state.get("query")));
    }

    function showInGraph(row) {
        state.set({ view: "flame", query: "", metric: "bytes" });
        search.value = "";
        flame.zoomToStack(row.node);
    }

    function noLeaks() {
        if (state.get("query")) return "No leak of these kinds matches.";
        const others = rows.leaks(state.get("process")).filter((row) => !state.get("kinds").has(row.category));
        const sum = sumUp(others);
        return others.length === 0
            ? "Nothing is left."
            : `Nothing of the kinds that are pressed above. Of others there are ${plural(sum.blocks, "block")}, ${size(sum.bytes)}.`;
    }

    function sumText(found) {
        const sum = sumUp(found);
        return document.isDiff
            ? plural(found.length, "stack")
            : `${plural(sum.stacks, "stack")}, ${plural(sum.blocks, "block")}, ${plural(sum.bytes, "byte")}`;
    }

    const columns = document.isDiff ? changeColumns : leakColumns;
    const views = {
        leaks: tableView({
            table: createTable({
                label: document.isDiff ? "Differences" : "Leaks",
                columns: columns(document, () => largest),
                sort: { key: "bytes", down: true },
                details: (row) => leakDetails(document, row, showInGraph),
            }),
            rowsOf: chosenLeaks,
            emptyText: noLeaks,
            summaryText: sumText,
        }),
        errors: tableView({
            table: createTable({
                label: "Memory errors",
                columns: errorColumns(document),
                sort: { key: "count", down: true },
                details: (row) => errorDetails(document, row),
            }),
            rowsOf: () => rows.errors(state.get("process")).filter(errorFilter(state.get("query"))),
            emptyText: () => "No error matches.",
            summaryText: (found) => plural(found.length, "error"),
        }),
        growth: tableView({
            table: createTable({
                label: "Growth",
                columns: growthColumns(document),
                sort: { key: "rate", down: true },
                details: (row) => growthDetails(document, row),
            }),
            rowsOf: () => rows.growth(state.get("process")).filter(leakFilter(state.get("query"))),
            emptyText: () => "Nothing that grows steadily matches.",
            summaryText: (found) => `${plural(found.length, "stack")} that grew steadily from mark to mark`,
        }),
        flame,
        processes: tableView({
            table: createTable({
                label: "Processes",
                columns: processColumns(),
                sort: { key: "live", down: true },
                details: processDetails,
            }),
            rowsOf: () =>
                document.processes.filter(({ index, program, pid, argv }) => {
                    const text = `${program} ${pid} ${argv.join(" ")}`.toLowerCase();
                    const chosen = state.get("process") === null || state.get("process") === index;
                    return chosen && text.includes(state.get("query").trim().toLowerCase());
                }),
            emptyText: () => "No process matches.",
            summaryText: () => "",
        }),
    };

    const search = h("input", { type: "search", class: "search", autocomplete: "off", spellcheck: "false" });
    search.addEventListener(
        "input",
        debounced(() => state.set({ query: search.value }), TYPING),
    );
    const panel = h("section", { role: "tabpanel", class: "panel" });
    const tabs = tabList({
        label: "Views",
        name: "views",
        panel,
        tabs: [
            { key: "leaks", label: document.isDiff ? "Differences" : "Leaks", note: "" },
            ...(document.errors.length > 0 ? [{ key: "errors", label: "Errors", note: "" }] : []),
            ...(document.growth.length > 0 ? [{ key: "growth", label: "Growth", note: "" }] : []),
            { key: "flame", label: "Flame graph" },
            { key: "processes", label: document.processes.length > 1 ? "Processes" : "Process" },
        ],
        chosen: (view) => state.set({ view }),
    });

    function showNotes() {
        const process = state.get("process");
        tabs.note("leaks", count(rows.leaks(process).filter((row) => state.get("kinds").has(row.category)).length));
        if (document.errors.length > 0) tabs.note("errors", count(rows.errors(process).length));
        if (document.growth.length > 0) tabs.note("growth", count(rows.growth(process).length));
    }

    function show() {
        const view = state.get("view");
        const label = searchLabels[view];
        search.placeholder = label;
        search.setAttribute("aria-label", label);
        tabs.select(view);
        if (panel.firstElementChild !== views[view].element) replace(panel, views[view].element);
        views[view].show();
    }

    return {
        element: h("div", { class: "view-box" }, h("div", { class: "toolbar" }, tabs.element, search), panel),
        start() {
            if (document.errors.length > 0) state.set({ view: "errors" });
            state.watch(["process", "kinds"], showNotes);
            state.watch(["view", "process", "kinds", "metric", "side", "direction", "runtime"], show);
            state.watch(["query"], () => (state.get("view") === "flame" ? flame.search() : show()));
            window.document.addEventListener("keydown", (event) => {
                if (event.key !== "/" || event.target.closest("input, textarea") || event.ctrlKey || event.metaKey)
                    return;
                event.preventDefault();
                search.focus();
            });
            showNotes();
            show();
        },
    };
}
