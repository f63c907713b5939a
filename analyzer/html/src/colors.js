// SPDX-License-Identifier: MIT
//
// Colours of boxes, as variables of the style sheet, so that light and dark need no drawing.
import { CUT, PYTHON, RUNTIME } from "./data.js";

const SHADES = 5;
const STEPS = 4;

function shadeOf(text) {
    let hash = 0;
    for (let i = 0; i < text.length; i++) hash = (hash * 31 + text.charCodeAt(i)) >>> 0;
    return hash % SHADES;
}

// By language; shades tell neighbours apart.
export function languageColor(box) {
    const { frame } = box;
    if (!frame || frame.bits & CUT) return "var(--box-none)";
    if (frame.bits & RUNTIME) return `var(--box-runtime)`;
    return `var(--box-${frame.bits & PYTHON ? "py" : "c"}-${shadeOf(frame.name)})`;
}

// By how much of the larger side is the difference: four steps up, four down.
export function changeColor(box) {
    const change = box.after - box.before;
    const step = Math.ceil((STEPS * Math.abs(change)) / Math.max(box.after, box.before, 1));
    if (step === 0) return "var(--box-none)";
    return `var(--box-${change > 0 ? "worse" : "better"}-${Math.min(step, STEPS)})`;
}
