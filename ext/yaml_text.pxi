"""A JSON text that grows, written as msgspec writes it.

In: pieces and strings in UTF-8. Out: one bytes object, which is written in place. Raised:
`MemoryError`.
"""

cdef extern from *:
    """
    /* By byte: 0 as it is, 1 as a number, else the letter behind the backslash. */
    static const unsigned char netpolc_escapes[256] = {
        1, 1, 1, 1, 1, 1, 1, 1, 'b', 't', 'n', 1, 'f', 'r', 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        ['"'] = '"', ['\\\\'] = '\\\\'
    };
    """
    const unsigned char* ESCAPES "netpolc_escapes"
    int _PyBytes_Resize(PyObject** text, Py_ssize_t size) except -1
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char* text, Py_ssize_t size) except NULL
    char* bytes_at "PyBytes_AS_STRING"(PyObject* text)

cdef const char* HEX = b"0123456789abcdef"


cdef class _Text:
    cdef PyObject* whole
    cdef char* at
    cdef Py_ssize_t size
    cdef Py_ssize_t room

    def __dealloc__(self):
        Py_XDECREF(self.whole)

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Make room for so many bytes more."""
        cdef Py_ssize_t wanted
        if more <= self.room - self.size:
            return 0
        if more > PY_SSIZE_T_MAX // 2 - self.size:
            raise MemoryError
        wanted = max(self.size + more, self.room + self.room // 4, <Py_ssize_t> 256)
        if self.whole == NULL:
            self.whole = new_bytes(NULL, wanted)
        else:
            self.room = 0  # where that fails nothing is left
            _PyBytes_Resize(&self.whole, wanted)
        self.at = bytes_at(self.whole)
        self.room = wanted
        return 0

    cdef inline int put(self, char c) except -1:
        """Append one byte."""
        if self.room == self.size:
            self.reserve(1)
        self.at[self.size] = c
        self.size += 1
        return 0

    cdef int append(self, const char* piece, Py_ssize_t length) except -1:
        """Append a piece that is JSON already, and none of this text."""
        self.reserve(length)
        memcpy(self.at + self.size, piece, length)
        self.size += length
        return 0

    cdef int string(self, const unsigned char* text, size_t length) except -1:
        """Append a string, in quotes."""
        cdef size_t done = 0, i = 0
        cdef unsigned char letter
        cdef char* to
        if length > <size_t> PY_SSIZE_T_MAX // 8:
            raise MemoryError
        self.reserve(length + 2)
        self.at[self.size] = c'"'
        self.size += 1
        while True:
            while i < length and ESCAPES[text[i]] == 0:
                i += 1
            memcpy(self.at + self.size, text + done, i - done)
            self.size += i - done
            if i == length:
                break
            self.reserve(length - i + 7)
            to = self.at + self.size
            to[0] = c'\\'
            letter = ESCAPES[text[i]]
            if letter != 1:
                to[1] = letter
                self.size += 2
            else:
                memcpy(to + 1, b"u00", 3)
                to[4] = HEX[text[i] >> 4]
                to[5] = HEX[text[i] & 15]
                self.size += 6
            i += 1
            done = i
        return self.put(c'"')

    cdef int cut(self, Py_ssize_t size) except -1:
        """Forget what is behind so many bytes."""
        self.size = size
        return 0

    cdef bytes piece(self, Py_ssize_t start, Py_ssize_t end):
        """A copy of a part."""
        return self.at[start:end]

    cdef bytes taken(self):
        """All of it; the text is empty then."""
        cdef bytes found
        _PyBytes_Resize(&self.whole, self.size)
        found = <bytes> <object> self.whole
        Py_XDECREF(self.whole)
        self.whole = NULL
        self.at = NULL
        self.size = self.room = 0
        return found
