# cython: language_level=3, binding=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=clinic
"""Whether JSON is written plainly, over `ext/json_unique.h`.

In: a value that is known to be well-formed. Out: whether any decoder gives the same of it.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t

cdef extern from "json_unique.h":
    bint netpolc_is_plain(const uint8_t* text, int64_t size)


def is_plain(raw, /):
    """Whether no key stands twice in an object of a well-formed text, and every number is whole and
    fits 64 bits; False where nobody can be sure.
    """
    cdef Py_buffer own
    PyObject_GetBuffer(raw, &own, PyBUF_SIMPLE)
    cdef bint found = netpolc_is_plain(<const uint8_t*> own.buf, own.len)
    PyBuffer_Release(&own)
    return found
