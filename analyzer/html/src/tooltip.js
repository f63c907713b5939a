// SPDX-License-Identifier: MIT
//
// What hovers beside the pointer over a flame graph: in the form that d3-flame-graph asks for.
import { h, replace } from "./dom.js";

export function createTooltip(content) {
    const element = h("div", { class: "tooltip", hidden: true });
    const tip = () => document.body.append(element);
    tip.show = (event, node) => {
        replace(element, content(node));
        element.hidden = false;
        const { offsetWidth: width, offsetHeight: height } = element;
        const left = Math.min(event.clientX + 12, innerWidth - width - 8);
        const below = event.clientY + 16;
        const top = below + height > innerHeight ? event.clientY - height - 12 : below;
        element.style.left = `${Math.max(8, left)}px`;
        element.style.top = `${Math.max(8, top)}px`;
    };
    tip.hide = () => {
        element.hidden = true;
    };
    tip.destroy = () => element.remove();
    return tip;
}
