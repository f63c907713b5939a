// SPDX-License-Identifier: MIT
//
// Light and dark: as the system has it, until the reader says otherwise. The choice is kept where the browser allows it.
import { h } from "./dom.js";

const key = "memshim-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;

function stored() {
    try {
        const value = localStorage.getItem(key);
        return value === "light" || value === "dark" ? value : null;
    } catch {
        return null; // a page from a file may have no storage
    }
}

function choose(value) {
    chosen = value;
    try {
        localStorage.setItem(key, value);
    } catch {
        // then it holds for this page
    }
}

function current() {
    return chosen ?? (dark.matches ? "dark" : "light");
}

export function themeButton() {
    chosen = stored();
    const button = h("button", { type: "button", class: "theme" });
    const show = () => {
        const other = current() === "dark" ? "light" : "dark";
        document.documentElement.dataset.theme = current();
        button.textContent = other === "dark" ? "\u263e" : "\u2600";
        button.title = `Switch to the ${other} theme`;
        button.setAttribute("aria-label", button.title);
    };
    button.addEventListener("click", () => {
        choose(current() === "dark" ? "light" : "dark");
        show();
    });
    dark.addEventListener("change", show);
    show();
    return button;
}
