# SPDX-License-Identifier: MIT
"""Arrays, linear algebra, a Fourier transform."""
import numpy
from lose import lose


def solve(size):
    matrix = numpy.random.default_rng(1).random((size, size)) + size * numpy.eye(size)
    vector = numpy.arange(size, dtype=float)
    return numpy.allclose(matrix @ numpy.linalg.solve(matrix, vector), vector)


def transform(size):
    wave = numpy.sin(numpy.arange(size))
    lose(1000)
    return numpy.allclose(numpy.fft.ifft(numpy.fft.fft(wave)).real, wave)


print(all(solve(size) for size in (10, 50, 200)), transform(4096))
