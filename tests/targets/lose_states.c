/* SPDX-License-Identifier: MIT
 *
 * Thread states of CPython's that are never deleted, and some that are: lose_states.py calls the functions by name. It is
 * compiled once for all versions: only what the stable ABI has, declared here. */
#include <pthread.h>
#include <stddef.h>

typedef struct state PyThreadState;
typedef struct interpreter PyInterpreterState;

PyThreadState *PyThreadState_New(PyInterpreterState *);
PyThreadState *PyThreadState_Get(void);
void PyThreadState_Clear(PyThreadState *);
void PyThreadState_Delete(PyThreadState *);
PyInterpreterState *PyInterpreterState_Main(void);
int PyGILState_Ensure(void);
void PyGILState_Release(int);
PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *);

#define COUNT 10
#define FUNCTION __attribute__((noinline, noclone, visibility("default")))

static PyThreadState *volatile kept[COUNT];

/* Over what is left of a call on the stack and in registers. */
static __attribute__((noinline)) void wipe(void)
{
    volatile char space[4096];
    for (size_t i = 0; i < sizeof(space); i++)
        space[i] = 0;
}

FUNCTION void lose_new(void)
{
    for (int i = 0; i < COUNT; i++)
        PyThreadState_New(PyInterpreterState_Main());
    wipe();
}

FUNCTION void delete_new(void)
{
    for (int i = 0; i < COUNT; i++) {
        PyThreadState *state = PyThreadState_New(PyInterpreterState_Main());
        PyThreadState_Clear(state);
        PyThreadState_Delete(state);
    }
}

FUNCTION void keep_new(void)
{
    for (int i = 0; i < COUNT; i++)
        kept[i] = PyThreadState_New(PyInterpreterState_Main());
}

static void *ensure_only(void *argument)
{
    (void)argument;
    PyGILState_Ensure();
    PyEval_SaveThread();
    return NULL;
}

static void *ensure_and_release(void *argument)
{
    (void)argument;
    PyGILState_Release(PyGILState_Ensure());
    return NULL;
}

static void run_threads(void *(*function)(void *))
{
    PyThreadState *own = PyEval_SaveThread();

    for (int i = 0; i < COUNT; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, function, NULL) == 0)
            pthread_join(thread, NULL);
    }
    PyEval_RestoreThread(own);
}

FUNCTION void lose_ensured(void)
{
    run_threads(ensure_only);
}

FUNCTION void release_ensured(void)
{
    run_threads(ensure_and_release);
}

static volatile int spinning;

static void *spin(void *argument)
{
    spinning = 1;
    while (spinning)
        continue;
    return argument;
}

/* A thread that never waits: nobody can see what it has in its registers. */
FUNCTION void spin_aside(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, spin, NULL) != 0)
        return;
    while (!spinning)
        continue;
}
