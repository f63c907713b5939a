/* SPDX-License-Identifier: MIT */
#include "records.h"

#include "ledger_fixture.h"

#include <pthread.h>
#include <stdbool.h>

TestSuite(records, .init = fixture_open, .fini = fixture_close);

/* Takes `count` records and checks that none was taken already. */
static void take_all(struct records_cache *cache, uint32_t *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ids[i] = records_take(cache);
        cr_assert_neq(ids[i], 0);
        cr_assert_eq(records_get(ids[i])->owner, 0, "record %u is in use", ids[i]);
        records_get(ids[i])->owner = 1;
        records_get(ids[i])->size = 77;
    }
}

Test(records, given_records_are_taken_again)
{
    static uint32_t ids[10000];
    struct records_cache cache = {0};
    uint32_t most = 0;

    for (unsigned round = 0; round < 20; round++) {
        take_all(&cache, ids, 10000);
        for (unsigned i = 0; i < 10000; i++) {
            most = ids[i] > most ? ids[i] : most;
            records_give(&cache, ids[i]);
        }
    }
    cr_expect_lt(most, 10000 + 3 * RECORDS_BATCH, "records leak: the highest id is %u", most);
}

Test(records, what_one_cache_gives_another_takes)
{
    static uint32_t ids[1000];
    struct records_cache producer = {0}, consumer = {0};
    uint32_t most = 0;

    for (unsigned round = 0; round < 100; round++) {
        take_all(&producer, ids, 1000);
        for (unsigned i = 0; i < 1000; i++) {
            most = ids[i] > most ? ids[i] : most;
            records_give(&consumer, ids[i]);
        }
    }
    cr_expect_lt(most, 1000 + 5 * RECORDS_BATCH, "records stay with the consumer: the highest id is %u", most);
}

Test(records, flushed_and_lone_records_come_back)
{
    static uint32_t ids[500];
    struct records_cache cache = {0}, other = {0};
    uint32_t most = 0;

    for (unsigned round = 0; round < 50; round++) {
        take_all(&cache, ids, 500);
        for (unsigned i = 0; i < 500; i++) {
            most = ids[i] > most ? ids[i] : most;
            if (i % 3)
                records_give(&cache, ids[i]);
            else
                records_give_alone(ids[i]);
        }
        records_flush(&cache);
        take_all(&other, ids, 10);
        for (unsigned i = 0; i < 10; i++)
            records_give(&other, ids[i]);
        records_flush(&other);
    }
    cr_expect_lt(most, 500 + 3 * RECORDS_BATCH, "the highest id is %u", most);
}

enum { THREADS = 4, ROUNDS = 200, BLOCKS = 300 };

static bool doubly_taken;

static void *churn(void *argument)
{
    struct records_cache cache = {0};
    uint32_t ids[BLOCKS];

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            ids[i] = records_take(&cache);
            if (__atomic_exchange_n(&records_get(ids[i])->owner, (uintptr_t)argument + 1, __ATOMIC_ACQ_REL))
                doubly_taken = true;
        }
        for (int i = 0; i < BLOCKS; i++)
            records_give(&cache, ids[i]);
        records_flush(&cache);
    }
    return NULL;
}

Test(records, no_record_has_two_owners)
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect(!doubly_taken);
}
