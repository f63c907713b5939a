# cython: language_level=3
# SPDX-License-Identifier: MIT
"""An extension in Cython that loses blocks and references, and gives out buffers."""
from cpython.buffer cimport PyBUF_FULL_RO, PyObject_GetBuffer
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport calloc, free


cdef class Grid:
    """2 rows of 3 numbers."""

    cdef double numbers[6]
    cdef Py_ssize_t shape[2]
    cdef Py_ssize_t strides[2]
    cdef readonly int views

    def __cinit__(self):
        for i in range(6):
            self.numbers[i] = i
        self.shape[:] = [2, 3]
        self.strides[:] = [24, 8]

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        buffer.buf = self.numbers
        buffer.obj = self
        buffer.len = 48
        buffer.itemsize = 8
        buffer.readonly = 0
        buffer.ndim = 2
        buffer.format = "d"
        buffer.shape = self.shape
        buffer.strides = self.strides
        buffer.suboffsets = NULL
        buffer.internal = NULL
        self.views += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.views -= 1


cdef class Plain:
    """Is not told when a buffer is given back."""

    cdef char text[10]

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        buffer.buf = self.text
        buffer.obj = self
        buffer.len = 10
        buffer.itemsize = 1
        buffer.readonly = 0
        buffer.ndim = 1
        buffer.format = NULL
        buffer.shape = &buffer.len
        buffer.strides = &buffer.itemsize
        buffer.suboffsets = NULL
        buffer.internal = NULL


def keep_nothing(size_t size):
    cdef char *block = <char *>calloc(size, 1)
    if block:
        block[0] = 1
    free(block)


cdef char *take(size_t size) except NULL:
    cdef char *block = <char *>calloc(size, 1)  # LOST BLOCK
    if not block:
        raise MemoryError()
    block[size - 1] = 1
    return block


def lose_block(size_t size):
    return take(size)[0] * 0


def lose_reference(size_t size):
    mine = b"x" * size  # LOST REFERENCE
    Py_INCREF(mine)


def forget_buffer(exporter):
    cdef Py_buffer view
    PyObject_GetBuffer(exporter, &view, PyBUF_FULL_RO)  # FORGOTTEN BUFFER


def total(double[:, :] numbers):
    """Takes the buffer for the length of the call."""
    cdef double found = 0
    for row in range(numbers.shape[0]):
        for column in range(numbers.shape[1]):
            found += numbers[row, column]
    return found
