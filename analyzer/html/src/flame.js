// SPDX-License-Identifier: MIT
//
// The flame graph: its controls, the drawing (d3-flame-graph), and the line that tells about the box at hand.
import flamegraph from "d3-flame-graph";
import { select } from "d3-selection";
import { changeColor, languageColor } from "./colors.js";
import { framesOf } from "./data.js";
import { h, replace } from "./dom.js";
import { decorate, focusBox, listenToKeys } from "./flamekeys.js";
import { measuresOf } from "./measures.js";
import { baseName, percent } from "./format.js";
import { frameMatcher } from "./search.js";
import { choice } from "./tabs.js";
import { createTooltip } from "./tooltip.js";
import { createTreeBuilder } from "./tree.js";

const CELL_HEIGHT = 20;
const LOWEST = 360; // pixels of height that the graph gets in any case
const SMALLEST_BOX = 1; // pixels
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function placeOf({ frame, lines }) {
    if (!frame) return "";
    const numbers = [...lines].sort((a, b) => a - b);
    const shown = numbers.slice(0, 4).join(", ") + (numbers.length > 4 ? ", \u2026" : "");
    const module = frame.module ? `in ${baseName(frame.module)}` : "";
    return [frame.file ? `${frame.file}${shown ? `:${shown}` : ""}` : "", module].filter(Boolean).join(" ");
}

export function createFlame({ document, rows, state }) {
    const build = createTreeBuilder(document);
    const measures = measuresOf(document, rows, state);
    const canvas = h("div", { class: "canvas" });
    const info = h("p", { class: "info" });
    const caption = h("p", { class: "quiet caption" });
    const matches = h("output", { class: "matches" });
    const reset = h(
        "button",
        { type: "button", class: "reset", disabled: true, onclick: () => resetZoom() },
        "Reset zoom",
    );
    const direction = choice({
        label: "Direction",
        options: [
            ["icicle", "Icicle", "Outermost function on top"],
            ["flame", "Flame", "Outermost function at the bottom"],
            ["inverted", "Inverted", "The function that allocated on top, its callers below"],
        ],
        chosen: (value) => state.set({ direction: value }),
    });
    const choices = measures.choices.map(({ key, ...rest }) => ({
        key,
        ...choice({ ...rest, chosen: (value) => state.set({ [key]: value }) }),
    }));
    const runtime = h("input", { type: "checkbox", onchange: () => state.set({ runtime: runtime.checked }) });
    const controls = h(
        "div",
        { class: "controls" },
        choices.map(({ element }) => element),
        direction.element,
        h("label", { class: "check" }, runtime, "Runtime frames"),
        reset,
        matches,
    );
    const element = h("div", { class: "flame" }, controls, info, canvas, legend(), caption);
    let chart = null;
    let tooltip = null;
    let zoomed = null;
    let width = 0;

    function legend() {
        const item = (color, text) => h("span", {}, h("i", { class: `swatch ${color}` }), text);
        return document.isDiff
            ? h("p", { class: "legend" }, item("worse", "more"), item("better", "less"), item("none", "no change"))
            : h("p", { class: "legend" }, item("py", "Python"), item("c", "native"), item("runtime", "runtime"));
    }

    const svg = () => canvas.querySelector("svg");
    const root = () => select(canvas).datum();

    function describe({ data, parent }) {
        const parts = [measures.amount(data)];
        if (parent) parts.push(`${percent(data.value, root().data.value)} of all`);
        if (parent?.parent)
            parts.push(
                `${percent(data.value, parent.data.value)} of its ${state.get("direction") === "inverted" ? "callee" : "caller"}`,
            );
        return parts.join(" \u00b7 ");
    }

    const sayLabel = (node) => `${node.data.name}, ${describe(node)}`;

    function tell(node) {
        replace(
            info,
            h("code", {}, node.data.name),
            ` ${describe(node)} `,
            h("span", { class: "place" }, placeOf(node.data)),
        );
    }

    function drawn(node) {
        zoomed = node;
        reset.disabled = !node || node === root();
        decorate(svg(), node ?? root(), sayLabel);
        tell(node ?? root());
    }

    function resetZoom() {
        chart.resetZoom();
        if (canvas.contains(window.document.activeElement) || window.document.activeElement === window.document.body)
            focusBox(svg(), root());
    }

    function createChart(depth) {
        const color = document.isDiff ? changeColor : languageColor;
        tooltip = createTooltip((node) => [
            h("strong", {}, node.data.name),
            h("span", {}, describe(node)),
            node.data.frame ? h("span", { class: "place" }, placeOf(node.data)) : null,
        ]);
        return flamegraph()
            .width(width)
            .height((depth + 1) * CELL_HEIGHT)
            .cellHeight(CELL_HEIGHT)
            .minFrameSize(SMALLEST_BOX)
            .inverted(state.get("direction") !== "flame")
            .transitionDuration(calm.matches ? 0 : 200)
            .tooltip(tooltip)
            .setLabelHandler((node) => node.data.name)
            .setColorMapper((node) => (node.highlight ? "var(--box-hit)" : color(node.data)))
            .setDetailsHandler(() => {})
            .onHover(tell)
            .onClick(drawn);
    }

    function listen() {
        listenToKeys(svg(), {
            rootBelow: state.get("direction") === "flame",
            zoom(node) {
                chart.zoomTo(node);
                focusBox(svg(), node);
            },
            reset: resetZoom,
            focused: tell,
        });
    }

    // As high as the window leaves room for, so that controls and boxes are seen together.
    function fitHeight() {
        const top = canvas.getBoundingClientRect().top + scrollY;
        canvas.style.maxHeight = `${Math.max(LOWEST, innerHeight - top - 76)}px`;
    }

    function draw() {
        const inverted = state.get("direction") === "inverted";
        const items = measures.items();
        const tree = build(items, { inverted, runtime: state.get("runtime") });
        chart?.destroy();
        replace(canvas);
        fitHeight();
        width = canvas.clientWidth;
        zoomed = null;
        const empty = tree.value === 0;
        caption.textContent = empty ? "" : measures.caption(tree);
        replace(info);
        canvas.classList.toggle("empty", empty);
        matches.textContent = "";
        if (empty) {
            chart = null;
            canvas.append(h("p", { class: "quiet" }, measures.emptyText()));
            return;
        }
        chart = createChart(tree.depth);
        select(canvas).datum(tree).call(chart);
        listen();
        drawn(root());
        search();
        if (state.get("direction") === "flame") canvas.scrollTop = canvas.scrollHeight;
    }

    function search() {
        if (!chart) return;
        const matcher = frameMatcher(state.get("query"));
        matches.textContent = "";
        if (!matcher) {
            chart.clear();
        } else {
            chart.setSearchMatch((node) => node.data.frame !== null && matcher(node.data.frame));
            chart.setSearchHandler((found, sum, total) => {
                matches.textContent = `${found.length === 1 ? "1 match" : `${found.length} matches`}: ${measures.format(sum)}, ${percent(sum, total)}`;
            });
            chart.search(state.get("query"));
        }
        decorate(svg(), zoomed ?? root(), sayLabel);
    }

    function mark() {
        direction.select(state.get("direction"));
        for (const { key, select: press } of choices) press(state.get(key));
        runtime.checked = state.get("runtime");
    }

    // Zooms to the box in which this stack ends, as far as it is drawn.
    function zoomToStack(node) {
        if (!chart || node === 0) return;
        const frames = framesOf(document, node);
        const path = state.get("direction") === "inverted" ? frames : frames.reverse();
        let box = root();
        for (const frame of path) {
            const next = box.children?.find(
                ({ data }) => data.frame && data.frame.name === frame.name && data.frame.file === frame.file,
            );
            if (next) box = next;
        }
        chart.zoomTo(box);
        svg().scrollIntoView({ block: "nearest" });
    }

    new ResizeObserver(() => {
        if (!chart || canvas.clientWidth === 0 || canvas.clientWidth === width) return;
        width = canvas.clientWidth;
        chart.width(width).update();
        decorate(svg(), zoomed ?? root(), sayLabel);
    }).observe(canvas);

    return {
        element,
        show() {
            mark();
            draw();
        },
        search,
        zoomToStack,
    };
}
