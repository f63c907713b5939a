// SPDX-License-Identifier: MIT
//
// Which rows and boxes a text matches. Several words must all match, in any frame or column; a minus before a word excludes.

function words(query) {
    return query
        .toLowerCase()
        .split(/\s+/)
        .filter((word) => word && word !== "-");
}

function frameText(frame) {
    return `${frame.name} ${frame.file ?? ""}${frame.line > 0 ? `:${frame.line}` : ""} ${frame.module ?? ""}`.toLowerCase();
}

// For each node whether it or one of its callers has the word: callers have lower numbers.
function nodesWith(document, texts, word) {
    const hits = new Uint8Array(document.nodeCount);
    for (let node = 1; node < document.nodeCount; node++)
        hits[node] = hits[document.parentOf[node]] || (texts[document.frameOf[node]].includes(word) ? 1 : 0);
    return hits;
}

// Returns query => (row => boolean). `nodesIn` and `textOf` tell the nodes and the other text of a row.
export function createFilter(document, nodesIn, textOf) {
    let texts = null;
    return (query) => {
        const tests = words(query).map((word) => {
            texts ??= document.frames.map(frameText);
            const excluded = word.startsWith("-");
            const wanted = excluded ? word.slice(1) : word;
            return { wanted, excluded, hits: nodesWith(document, texts, wanted) };
        });
        return (row) =>
            tests.every(({ wanted, excluded, hits }) => {
                const found = nodesIn(row).some((node) => hits[node]) || textOf(row).toLowerCase().includes(wanted);
                return found !== excluded;
            });
    };
}

// Returns a test for frames, or null for an empty query.
export function frameMatcher(query) {
    const all = words(query);
    return all.length === 0 ? null : (frame) => all.every((word) => frameText(frame).includes(word));
}
