/* SPDX-License-Identifier: MIT
 *
 * A library that calls back from frames of PLUGIN_FRAME bytes: built twice, so that the same address means another frame
 * after one was unloaded and the other loaded in its place. */
void plugin_call(void (*function)(void), int depth);

void plugin_call(void (*function)(void), int depth)
{
    volatile char frame[PLUGIN_FRAME];

    frame[0] = 1;
    if (depth > 0)
        plugin_call(function, depth - 1);
    function();
    frame[PLUGIN_FRAME - 1] = frame[0];
}
