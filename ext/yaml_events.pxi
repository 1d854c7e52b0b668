"""Events of libyaml, one after another, and why there are no more."""

from libyaml cimport *


class Unusual(ValueError):
    """YAML that is fine perhaps, and that only who knows all of YAML reads: line and column (from
    0) and what is there.
    """

    def __init__(self, line: int, column: int, what: str):
        super().__init__(what)
        self.line = line
        self.column = column
        self.what = what


class Broken(ValueError):
    """YAML that libyaml refuses: line and column (from 0), and why.

    Where there is a character that YAML does not have `offset` is its place in bytes, and else -1.
    """

    def __init__(self, line: int, column: int, reason: str, offset: int = -1):
        super().__init__(reason)
        self.line = line
        self.column = column
        self.reason = reason
        self.offset = offset


cdef object unusual(const yaml_mark_t* mark, str what):
    return Unusual(mark.line, mark.column, what)


cdef class _Events:
    """The events of a text, which has to stay where it is."""
    cdef yaml_parser_t parser
    cdef bint is_ready
    cdef bytes text

    def __cinit__(self, bytes text):
        self.text = text
        if not yaml_parser_initialize(&self.parser):
            raise MemoryError
        self.is_ready = True
        yaml_parser_set_input_string(
            &self.parser, <const unsigned char*> PyBytes_AS_STRING(text), len(text)
        )

    def __dealloc__(self):
        if self.is_ready:
            yaml_parser_delete(&self.parser)

    cdef int next(self, yaml_event_t* event) except -1:
        """The next event, which the caller deletes; `Broken` where libyaml refuses the text."""
        if yaml_parser_parse(&self.parser, event):
            return 0
        cdef const yaml_mark_t* mark
        if self.parser.error == YAML_MEMORY_ERROR:
            raise MemoryError
        if self.parser.error == YAML_READER_ERROR:
            raise Broken(0, 0, self.parser.problem.decode(), self.parser.problem_offset)
        if self.parser.problem != NULL:
            mark, reason = &self.parser.problem_mark, self.parser.problem
        else:
            mark = &self.parser.context_mark
            reason = self.parser.context if self.parser.context != NULL else b"cannot be read"
        raise Broken(mark.line, mark.column, reason.decode())
