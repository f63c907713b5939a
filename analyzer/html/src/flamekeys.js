// SPDX-License-Identifier: MIT
//
// A flame graph by keyboard, as a tree: one tab stop; arrows go to callers, callees and neighbours, Enter zooms, Escape
// shows all again.
import { select } from "d3-selection";

// Marks all boxes after a drawing; `label(node)` is what a screen reader says.
export function decorate(svg, focusable, label) {
    svg.setAttribute("role", "tree");
    svg.setAttribute("aria-label", "Flame graph");
    select(svg)
        .selectAll("g.frame")
        .attr("role", "treeitem")
        .attr("aria-level", (node) => node.depth + 1)
        .attr("aria-label", label)
        .attr("tabindex", (node) => (node === focusable ? 0 : -1));
}

function elementOf(svg, node) {
    return select(svg)
        .selectAll("g.frame")
        .filter((other) => other === node)
        .node();
}

function isDrawn(svg, node) {
    return node.value > 0 && elementOf(svg, node) !== null;
}

function neighbour(svg, node, step) {
    const all = node.parent?.children ?? [];
    for (let i = all.indexOf(node) + step; i >= 0 && i < all.length; i += step) if (isDrawn(svg, all[i])) return all[i];
    return null;
}

function firstChild(svg, node) {
    return node.children?.find((child) => isDrawn(svg, child)) ?? null;
}

// `options`: rootBelow() tells where callers stand; zoom(node), reset(), focused(node) act.
export function listenToKeys(svg, options) {
    svg.addEventListener("keydown", (event) => {
        const element = event.target.closest("g.frame");
        if (!element || event.altKey || event.ctrlKey || event.metaKey) return;
        const node = select(element).datum();
        const outwards = options.rootBelow ? "ArrowDown" : "ArrowUp";
        const inwards = options.rootBelow ? "ArrowUp" : "ArrowDown";
        const moves = {
            [outwards]: () => node.parent,
            [inwards]: () => firstChild(svg, node),
            ArrowLeft: () => neighbour(svg, node, -1),
            ArrowRight: () => neighbour(svg, node, 1),
        };
        const actions = {
            Enter: () => options.zoom(node),
            " ": () => options.zoom(node),
            Escape: () => options.reset(),
        };
        if (!moves[event.key] && !actions[event.key]) return;
        event.preventDefault();
        const next = moves[event.key]?.();
        actions[event.key]?.();
        if (next) focusBox(svg, next);
    });
    svg.addEventListener("focusin", (event) => {
        const element = event.target.closest("g.frame");
        if (element) options.focused(select(element).datum());
    });
}

export function focusBox(svg, node) {
    const element = elementOf(svg, node);
    if (!element) return;
    select(svg).selectAll("g.frame[tabindex='0']").attr("tabindex", -1);
    element.setAttribute("tabindex", 0);
    element.focus();
}
