// SPDX-License-Identifier: MIT
//
// From rows with stacks to the tree that a flame graph draws: from the outermost function inwards, or inverted, from the
// function that allocated to its callers. Frames of one function are one box, whatever their lines.
import { framesOf, RUNTIME } from "./data.js";
import { baseName, plural } from "./format.js";

const WHOLE_MAX = 30000; // boxes of a tree that is drawn whole
const SMALLEST_PART = 1 / 5000; // of the total, that is drawn in larger ones

// For each frame the number of its box.
function boxNumbers(document) {
    const numbers = new Map();
    return document.frames.map(({ bits, name, file, module }) => {
        const key = JSON.stringify([bits & ~RUNTIME, name, file, module]);
        if (!numbers.has(key)) numbers.set(key, numbers.size);
        return numbers.get(key);
    });
}

// The frames of a node in the order of drawing. Without any that is the runtime's unless `runtime` is set - or there are
// no others.
function pathOf(document, node, { inverted, runtime }) {
    const all = framesOf(document, node);
    const own = runtime ? all : all.filter((frame) => !(frame.bits & RUNTIME));
    const frames = own.length > 0 ? own : all;
    return inverted ? frames : frames.reverse();
}

function sumOf(items) {
    const sum = { value: 0, before: 0, after: 0 };
    for (const item of items) {
        sum.value += item.value;
        sum.before += item.before ?? 0;
        sum.after += item.after ?? 0;
    }
    return sum;
}

function smallBox(items, sum) {
    const stacks = items.reduce((count, item) => count + item.stacks, 0);
    return { name: `(${plural(stacks, "smaller stack")})`, ...sum, box: -1, frame: null, lines: new Set() };
}

// What stands in a box: "<module>" alone would say nothing, and the tag of an extension's ABI says nothing more.
function boxName({ name, file }) {
    const short = name.replace(/\.(cpython-\w+|abi3)(-[\w-]+)?\.so/, ".so");
    return name.startsWith("<") && file ? `${baseName(file)} ${short}` : short;
}

function largestFirst(a, b) {
    return b.value - a.value;
}

// Creates build(items, options) => root. Items: { node, value, stacks, before, after }; options: { inverted, runtime }. A box
// has name, value, box, frame, lines and children; root.pruned says
// whether small ones were put together, root.depth how many boxes stand above each other at most, not counting itself.
export function createTreeBuilder(document) {
    let boxes = null;

    function groups(items, depth) {
        const found = new Map();
        for (const item of items) {
            const frame = item.path[depth];
            if (!frame) continue; // the stack ends here
            const number = boxes[frame.id];
            let group = found.get(number);
            if (!group) found.set(number, (group = { box: number, frame, items: [], lines: new Set() }));
            group.items.push(item);
            if (frame.line > 0) group.lines.add(frame.line);
        }
        return [...found.values()];
    }

    function children(items, depth, smallest) {
        const result = [];
        const small = [];
        for (const group of groups(items, depth)) {
            const sum = sumOf(group.items);
            if (sum.value < smallest) {
                small.push(...group.items);
                continue;
            }
            const { box, frame, lines } = group;
            result.push({
                name: boxName(frame),
                ...sum,
                box,
                frame,
                lines,
                children: children(group.items, depth + 1, smallest),
            });
        }
        result.sort(largestFirst);
        if (small.length > 0) result.push(smallBox(small, sumOf(small)));
        return result;
    }

    return (items, options) => {
        boxes ??= boxNumbers(document);
        const drawn = items.filter((item) => item.value > 0);
        const rests = drawn.filter((item) => item.node === 0);
        const stacks = drawn.filter((item) => item.node !== 0);
        for (const item of stacks) item.path = pathOf(document, item.node, options);
        const sum = sumOf(drawn);
        const pruned = stacks.reduce((count, item) => count + item.path.length, 0) > WHOLE_MAX;
        const root = { name: "all", ...sum, box: -1, frame: null, lines: new Set(), pruned };
        root.depth = stacks.reduce((depth, item) => Math.max(depth, item.path.length), rests.length > 0 ? 1 : 0);
        root.children = children(stacks, 0, pruned ? sum.value * SMALLEST_PART : 0);
        if (rests.length > 0) root.children.push(smallBox(rests, sumOf(rests)));
        return root;
    };
}
