// SPDX-License-Identifier: MIT
//
// Elements from texts. Text is only ever set as text, never parsed.

// h("button", { class: "x", pressed: true, onclick: f }, "text", child): properties that begin with "on" are listeners, `class`
// and the ones that have a dash are attributes, null and false are left out.
export function h(name, properties = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
        if (value === null || value === undefined || value === false) continue;
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

export function replace(element, ...children) {
    element.replaceChildren(
        ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
    );
}

// Runs `action` once, some time after the last call.
export function debounced(action, milliseconds) {
    let timer = 0;
    return (...parameters) => {
        clearTimeout(timer);
        timer = setTimeout(() => action(...parameters), milliseconds);
    };
}

let last = 0;

export function newId(prefix) {
    return `${prefix}-${++last}`;
}
