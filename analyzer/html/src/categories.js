// SPDX-License-Identifier: MIT
//
// The boxes of the summary: what kinds of leaks there are, in the order of how much they matter.

export const leakCategories = [
    {
        key: "definite",
        label: "Definitely lost",
        badge: "definite",
        title: "No pointer to these blocks is left.",
        lost: true,
    },
    {
        key: "indirect",
        label: "Indirectly lost",
        badge: "indirect",
        title: "Pointers to these blocks are only in lost blocks.",
        lost: true,
    },
    {
        key: "possible",
        label: "Possibly lost",
        badge: "possible",
        title: "Pointers lead into the middle of these blocks only.",
        lost: true,
    },
    {
        key: "allocated",
        label: "Still allocated",
        badge: "allocated",
        title: "Nobody could look whether pointers to these blocks are left.",
        lost: true,
    },
    {
        key: "referenced",
        label: "Over-referenced",
        badge: "over-referenced",
        title: "Still reachable, but with higher counts than references: a Py_DECREF is missing.",
        lost: true,
    },
    { key: "reachable", label: "Still reachable", badge: "reachable", title: "Pointers to these blocks are left." },
    { key: "suppressed", label: "Suppressed", badge: "suppressed", title: "A rule accepts these." },
    {
        key: "interpreter",
        label: "Interpreter",
        badge: "interpreter",
        title: "Python keeps these for itself beyond its end.",
    },
    { key: "startup", label: "Startup", badge: "startup", title: "Allocated before the program's own code ran." },
];

export const changeCategories = [
    { key: "new", label: "New", badge: "new", title: "Only in the second run.", lost: true },
    { key: "grown", label: "Grown", badge: "grown", title: "More in the second run.", lost: true },
    { key: "shrunk", label: "Shrunk", badge: "shrunk", title: "Less in the second run.", lost: true },
    { key: "gone", label: "Gone", badge: "gone", title: "Only in the first run.", lost: true },
];

export function labelOf(categories, key) {
    return categories.find((category) => category.key === key)?.badge ?? key;
}
