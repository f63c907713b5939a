// SPDX-License-Identifier: MIT
//
// A list of tabs as the ARIA practices describe it: one tab stop, arrows move, Home and End jump.
import { h, newId } from "./dom.js";

// `tabs`: [{ key, label, note }]; `panel`: element that they show something in. Returns { element, select(key) }; `select` only
// marks, `chosen` is called for the reader's choice.
export function tabList({ label, tabs, panel, chosen, name }) {
    const buttons = new Map();
    panel.id ||= newId("panel");
    const element = h("div", { role: "tablist", "aria-label": label, class: `tabs ${name}` });
    for (const tab of tabs) {
        const button = h(
            "button",
            { type: "button", role: "tab", id: newId("tab"), "aria-controls": panel.id, title: tab.title },
            tab.label,
            tab.note === undefined ? null : h("span", { class: "note" }, tab.note),
        );
        button.addEventListener("click", () => chosen(tab.key));
        buttons.set(tab.key, button);
        element.append(button);
    }
    element.addEventListener("keydown", (event) => {
        const all = [...buttons.values()];
        const at = all.indexOf(document.activeElement);
        const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
        if (at < 0 || to === undefined) return;
        event.preventDefault();
        const next = all[(to + all.length) % all.length];
        next.focus();
        next.click();
    });
    return {
        element,
        note(key, text) {
            buttons.get(key).querySelector(".note").textContent = text;
        },
        select(key) {
            for (const [other, button] of buttons) {
                const selected = other === key;
                button.setAttribute("aria-selected", selected);
                button.tabIndex = selected ? 0 : -1;
                if (!selected) continue;
                panel.setAttribute("aria-labelledby", button.id);
                button.scrollIntoView?.({ block: "nearest", inline: "nearest" });
            }
        },
    };
}

// Buttons of which one is pressed: [[key, label, title]].
export function choice({ label, options, chosen }) {
    const buttons = new Map();
    for (const [key, text, title] of options) {
        const button = h("button", { type: "button", title }, text);
        button.addEventListener("click", () => chosen(key));
        buttons.set(key, button);
    }
    return {
        element: h("div", { role: "group", "aria-label": label, class: "choice" }, ...buttons.values()),
        select(key) {
            for (const [other, button] of buttons) button.setAttribute("aria-pressed", other === key);
        },
    };
}
