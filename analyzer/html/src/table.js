// SPDX-License-Identifier: MIT
//
// A table whose columns sort and whose rows open. Shows the first rows and more on request, so that thousands cost nothing
// until they are wanted.
import { h, newId, replace } from "./dom.js";
import { plural } from "./format.js";

const PAGE = 100; // rows added at a time

// Columns: { key, label, value(row): what it sorts by, cell(row): text or element, number: true for right-aligned ones that
// sort downwards first }. `details(row)` makes what an open row shows.
export function createTable({ label, columns, sort, details, opened }) {
    let rows = [];
    let shown = 0;
    let order = { ...sort };
    const open = new Set();
    const headers = new Map(columns.map((column) => [column.key, headerCell(column)]));
    const body = h("tbody");
    const more = h("button", { type: "button", class: "more", onclick: () => showMore() });
    const table = h(
        "table",
        {},
        h("caption", { class: "unseen" }, label),
        h(
            "thead",
            {},
            h("tr", {}, h("th", { class: "opener" }, h("span", { class: "unseen" }, "Stack")), ...headers.values()),
        ),
        body,
    );
    const element = h("div", { class: "table" }, table, more);

    function headerCell(column) {
        const button = h("button", { type: "button", onclick: () => sortBy(column) }, column.label);
        return h("th", { scope: "col", class: `${column.key} ${column.number ? "number" : ""}` }, button);
    }

    function sortBy(column) {
        const down = order.key === column.key ? !order.down : Boolean(column.number);
        order = { key: column.key, down };
        draw();
    }

    function compare(column) {
        const direction = order.down ? -1 : 1;
        return (a, b) => {
            const x = column.value(a) ?? "";
            const y = column.value(b) ?? "";
            const result = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
            return direction * result || a.index - b.index;
        };
    }

    function bodyRow(row) {
        const id = newId("row");
        const isOpen = open.has(row);
        const button = h(
            "button",
            {
                type: "button",
                class: "open",
                "aria-expanded": String(isOpen),
                "aria-label": "Show the stack",
                "aria-controls": id,
            },
            "\u203a",
        );
        const cells = columns.map((column) =>
            h(
                "td",
                { class: `${column.key} ${column.number ? "number" : ""}`, "data-label": column.label },
                column.cell(row),
            ),
        );
        const line = h(
            "tr",
            { class: "row", "data-fingerprint": row.fingerprint },
            h("td", { class: "opener" }, button),
            ...cells,
        );
        const detail = h("tr", { class: "detail", id, hidden: !isOpen }, h("td", { colspan: columns.length + 1 }));
        const toggle = () => {
            const opening = detail.hidden;
            detail.hidden = !opening;
            button.setAttribute("aria-expanded", opening);
            if (opening) open.add(row);
            else open.delete(row);
            if (opening) fill(detail, row);
        };
        line.addEventListener("click", (event) => {
            const selecting = String(getSelection()) !== "";
            if (event.target.closest("button") === button || (!event.target.closest("button, a") && !selecting))
                toggle();
        });
        if (isOpen) fill(detail, row);
        return [line, detail];
    }

    function fill(detail, row) {
        if (detail.firstChild.childElementCount === 0) detail.firstChild.append(details(row));
        opened?.(row);
    }

    function showMore() {
        const next = rows.slice(shown, shown + PAGE);
        body.append(...next.flatMap(bodyRow));
        shown += next.length;
        const left = rows.length - shown;
        more.hidden = left === 0;
        more.textContent = `Show ${Math.min(PAGE, left)} more of ${plural(left, "row")}`;
    }

    function draw() {
        const column = columns.find(({ key }) => key === order.key);
        rows.sort(compare(column));
        for (const [key, header] of headers) {
            if (key === order.key) header.setAttribute("aria-sort", order.down ? "descending" : "ascending");
            else header.removeAttribute("aria-sort");
        }
        replace(body);
        shown = 0;
        showMore();
    }

    return {
        element,
        show(next) {
            rows = next.slice();
            rows.forEach((row, index) => (row.index = index));
            table.hidden = rows.length === 0;
            draw();
        },
    };
}
