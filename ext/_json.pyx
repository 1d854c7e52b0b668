# cython: language_level=3, binding=False, autotestdict=False
# cython: embedsignature=True, embedsignature.format=clinic
"""JSON as netpolc meets it, over `ext/json_unique.h` and `ext/json_valid.h`.

In: a value that is known to be well-formed, or a text in UTF-8. Out: whether any decoder gives the
same of the value; where the items of a list stand in the text.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t

import msgspec

cdef extern from "json_unique.h":
    ctypedef struct NetpolcSlice:
        const uint8_t* text
        int64_t size

    ctypedef const uint8_t* NetpolcAt
    bint netpolc_is_plain(const uint8_t* text, int64_t size)
    NetpolcAt netpolc_text(NetpolcAt at, NetpolcAt limit, NetpolcSlice* out)
    bint netpolc_is(NetpolcSlice own, const char* word)

cdef extern from "json_valid.h":
    NetpolcAt netpolc_space(NetpolcAt at)
    NetpolcAt netpolc_valid(NetpolcAt at, NetpolcAt limit)

cdef object Raw = msgspec.Raw


def is_plain(raw, /):
    """Whether no key stands twice in an object of a well-formed text, and every number is whole and
    fits 64 bits; False where nobody can be sure.
    """
    cdef Py_buffer own
    PyObject_GetBuffer(raw, &own, PyBUF_SIMPLE)
    cdef bint found = netpolc_is_plain(<const uint8_t*> own.buf, own.len)
    PyBuffer_Release(&own)
    return found


@cython.final
@cython.no_gc
cdef class _Part:
    """Bytes of a longer text, which is kept as long as they are."""

    cdef bytes whole
    cdef NetpolcAt start
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, <void*> self.start, self.size, 1, flags)


cdef object part(bytes whole, NetpolcAt start, NetpolcAt end):
    cdef _Part own = _Part.__new__(_Part)
    own.whole, own.start, own.size = whole, start, end - start
    return Raw(own)


@cython.final
cdef class _List:
    """A list of objects while it is read."""

    cdef bytes whole
    cdef NetpolcAt at, limit
    cdef str version, kind
    cdef object metadata
    cdef list items

    cdef bint read(self, bytes whole) except -1:
        """Whether this is the text of one."""
        self.whole, self.at = whole, <NetpolcAt> PyBytes_AS_STRING(whole)
        self.limit = self.at + PyBytes_GET_SIZE(whole)
        self.at = netpolc_space(self.at)
        if self.at[0] != c"{":
            return False
        while True:
            self.at = netpolc_space(self.at + 1)
            if not self.member():
                return False
            self.at = netpolc_space(self.at)
            if self.at[0] != c",":
                break
        if self.at[0] != c"}" or netpolc_space(self.at + 1) != self.limit:
            return False
        return self.items is not None

    cdef bint member(self) except -1:
        cdef NetpolcSlice key
        cdef NetpolcAt start, end = netpolc_text(self.at, self.limit, &key)
        if end == NULL:
            return False
        end = netpolc_space(end)
        if end[0] != c":":
            return False
        self.at = start = netpolc_space(end + 1)
        if netpolc_is(key, b"items"):
            return self.items is None and self.all_items()
        self.at = end = netpolc_valid(start, self.limit)
        if end == NULL:
            return False
        if netpolc_is(key, b"metadata"):
            if self.metadata is not None:
                return False
            self.metadata = part(self.whole, start, end)
        elif netpolc_is(key, b"kind"):
            if self.kind is not None:
                return False
            self.kind = plain_text(start, end)
            return self.kind is not None
        elif netpolc_is(key, b"apiVersion"):
            if self.version is not None:
                return False
            self.version = plain_text(start, end)
            return self.version is not None
        return True

    cdef bint all_items(self) except -1:
        cdef NetpolcAt start, end
        if self.at[0] != c"[":
            return False
        self.items = []
        end = netpolc_space(self.at + 1)
        if end[0] != c"]":
            while True:
                start = end
                end = netpolc_valid(start, self.limit)
                if end == NULL:
                    return False
                self.items.append(part(self.whole, start, end))
                end = netpolc_space(end)
                if end[0] != c",":
                    break
                end = netpolc_space(end + 1)
            if end[0] != c"]":
                return False
        self.at = end + 1
        return True


cdef str plain_text(NetpolcAt start, NetpolcAt end):
    """The text of a value; None of one that has escapes, or is no text."""
    cdef NetpolcSlice own = NetpolcSlice(NULL, 0)
    if netpolc_text(start, end, &own) != end:
        return None
    return PyUnicode_DecodeASCII(<const char*> own.text, own.size, NULL)


def listed(bytes text not None, /):
    """`apiVersion`, `kind`, `metadata` and `items` of the JSON of a list, in valid UTF-8, the last
    two as `msgspec.Raw`; None for a field that is not there. None for what is no list, is no JSON,
    or where nobody can be sure.
    """
    cdef _List found = _List.__new__(_List)
    if not found.read(text):
        return None
    return found.version, found.kind, found.metadata, found.items
