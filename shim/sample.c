/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include "sampling.h"

#include <sys/random.h>
#include <time.h>

uint64_t sample_mean;
size_t sample_least;

static uint64_t seed(const void *thread)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return ((uint64_t)time.tv_nsec << 32 ^ (uint64_t)time.tv_sec ^ (uintptr_t)thread * 0x9e3779b97f4a7c15ULL ^
            (uint64_t)getpid() << 40) |
           1;
}

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

_cold_ bool sample_hit(struct thread_local_state *state, size_t size)
{
    bool begun = state->random != 0;

    if (!begun) {
        state->random = seed(state);
        state->sample_left = sampling_distance(next_random(&state->random), sample_mean) - (int64_t)(size ? size : 1);
        if (state->sample_left > 0)
            return false;
    }
    state->sample_left = sampling_distance(next_random(&state->random), sample_mean);
    return true;
}
