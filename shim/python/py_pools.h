/* SPDX-License-Identifier: MIT
 *
 * The objects of py_pools.c and py_allocations.c. */
#ifndef PYTHON_PY_POOLS_H
#define PYTHON_PY_POOLS_H

#include "module.h"

#include "memshim/pool.h"

struct py_pool {
    PyObject_HEAD memshim_pool *pool; /* NULL: detached or destroyed */
    PyObject *serialized;             /* bytes, made once */
};

struct py_allocation {
    PyObject_HEAD struct py_pool
        *owner;         /* the pool object that made it, or NULL: it has a use of the pool of its own */
    memshim_pool *pool; /* of its own */
    struct memshim_allocation allocation;
    int gone;                /* detached or freed */
    Py_ssize_t size, stride; /* what views point to */
};

/* The pool through which an allocation is reached; NULL with RuntimeError set: it was detached, freed, or its pool is gone. */
memshim_pool *py_allocation_pool(struct py_allocation *self);

/* An allocation of `owner`. New reference. */
PyObject *py_allocation_new(struct py_pool *owner, const struct memshim_allocation *allocation);

int module_add_allocations(PyObject *module);

/* The allocations of a pool. New reference. */
PyObject *py_allocations_new(memshim_pool *pool);

#endif
