// SPDX-License-Identifier: MIT
//
// What the reader has chosen. Views subscribe to the keys that they depend on and are called once for each change.

export function createState(initial) {
    const values = { ...initial };
    const watchers = [];
    return {
        get: (key) => values[key],
        set(changes) {
            const changed = Object.keys(changes).filter((key) => values[key] !== changes[key]);
            Object.assign(values, changes);
            if (changed.length === 0) return;
            for (const { keys, action } of watchers) {
                if (keys.some((key) => changed.includes(key))) action();
            }
        },
        watch(keys, action) {
            watchers.push({ keys, action });
        },
    };
}
