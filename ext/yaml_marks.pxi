"""Where the fields of a text stand: its nodes in the order of the text, each with its marks.

In: UTF-8 without a byte order mark. Out: for the path of a field line and column (from 0) where
its key and its value begin, and where the value ends. Refused: what libyaml refuses, aliases of
nothing, and nesting that no document may have.
"""

cdef enum:
    PLACED_SCALAR
    PLACED_LIST
    PLACED_MAPPING
    PLACED_ALIAS

cdef struct _Place:
    uint32_t line
    uint32_t column
    uint32_t end_line
    uint32_t end_column
    Py_ssize_t next     # the node behind it and all that is in it
    Py_ssize_t name     # of a scalar where its text is kept, of an alias the node that it means
    uint32_t length     # of that text
    int kind


cdef class Marks:
    cdef _Place* places
    cdef Py_ssize_t used
    cdef Py_ssize_t room
    cdef _Text names
    cdef list roots
    cdef dict named

    def __cinit__(self):
        self.names = _Text()
        self.roots = []

    def __init__(self, text: bytes):
        cdef yaml_event_t event
        cdef _Events events = _Events(text)
        cdef Py_ssize_t[LEVELS] open_nodes
        cdef Py_ssize_t[LEVELS] counts
        cdef int depth = 0
        cdef bint is_key
        while True:
            events.next(&event)
            try:
                if event.type == YAML_STREAM_END_EVENT:
                    return
                if event.type == YAML_DOCUMENT_START_EVENT:
                    self.named = {}
                    self.roots.append(self.used)
                elif event.type == YAML_SEQUENCE_END_EVENT or event.type == YAML_MAPPING_END_EVENT:
                    depth -= 1
                    self.ended(open_nodes[depth], &event)
                elif event.type not in (YAML_DOCUMENT_END_EVENT, YAML_STREAM_START_EVENT):
                    is_key = False
                    if depth:
                        is_key = self.places[open_nodes[depth - 1]].kind == PLACED_MAPPING \
                            and counts[depth - 1] % 2 == 0
                        counts[depth - 1] += 1
                    if self.began(&event, is_key):
                        if depth == LEVELS:
                            raise unusual(&event.start_mark, "very deep nesting")
                        open_nodes[depth] = self.used - 1
                        counts[depth] = 0
                        depth += 1
            finally:
                yaml_event_delete(&event)

    def __dealloc__(self):
        free(self.places)

    cdef bint began(self, yaml_event_t* event, bint is_key) except -1:
        """Note a node; whether others are in it."""
        cdef _Place* place
        cdef yaml_char_t* anchor = NULL
        self.more()
        place = &self.places[self.used]
        place.line = <uint32_t> event.start_mark.line
        place.column = <uint32_t> event.start_mark.column
        place.name = place.length = 0
        if event.type == YAML_ALIAS_EVENT:
            place.kind = PLACED_ALIAS
            found = self.named.get(<bytes> <const char*> event.data.alias.anchor)
            if found is None:
                raise unusual(&event.start_mark, "an alias of nothing")
            place.name = found
        elif event.type == YAML_SCALAR_EVENT:
            place.kind = PLACED_SCALAR
            anchor = event.data.scalar.anchor
            if (is_key or anchor != NULL) and event.data.scalar.length < UINT32_MAX:
                place.name, place.length = self.names.size, <uint32_t> event.data.scalar.length
                self.names.append(<const char*> event.data.scalar.value, event.data.scalar.length)
        elif event.type == YAML_MAPPING_START_EVENT:
            place.kind = PLACED_MAPPING
            anchor = event.data.mapping_start.anchor
        else:
            place.kind = PLACED_LIST
            anchor = event.data.sequence_start.anchor
        if anchor != NULL:
            self.named[<bytes> <const char*> anchor] = self.used
        self.used += 1
        if place.kind == PLACED_SCALAR or place.kind == PLACED_ALIAS:
            self.ended(self.used - 1, event)
            return False
        return True

    cdef int ended(self, Py_ssize_t number, yaml_event_t* event) except -1:
        self.places[number].end_line = <uint32_t> event.end_mark.line
        self.places[number].end_column = <uint32_t> event.end_mark.column
        self.places[number].next = self.used
        return 0

    cdef int more(self) except -1:
        cdef Py_ssize_t room = self.room + self.room // 4 + 64
        cdef void* more = NULL
        if self.used < self.room:
            return 0
        if room <= PY_SSIZE_T_MAX // <Py_ssize_t> sizeof(_Place):
            more = realloc(self.places, room * sizeof(_Place))
        if more == NULL:
            raise MemoryError
        self.places = <_Place*> more
        self.room = room
        return 0

    cdef Py_ssize_t meant(self, Py_ssize_t number) noexcept:
        """The node itself, of an alias the one that it means."""
        if self.places[number].kind == PLACED_ALIAS:
            return self.places[number].name
        return number

    cdef Py_ssize_t entry(self, Py_ssize_t number, object element) except -2:
        """The key of an entry (in a list the item); -1 if there is none."""
        cdef _Place* place = &self.places[number]
        cdef Py_ssize_t at = number + 1, found = -1, left
        cdef Py_ssize_t own
        cdef bytes name
        if place.kind == PLACED_LIST and isinstance(element, int):
            left = element
            while at < place.next and left > 0:
                at = self.places[at].next
                left -= 1
            return at if at < place.next and left == 0 else -1
        if place.kind != PLACED_MAPPING or not isinstance(element, str):
            return -1
        name = (<str> element).encode("utf-8", "surrogatepass")
        while at < place.next:
            own = self.meant(at)
            if self.places[own].kind == PLACED_SCALAR and self.places[own].length == len(name) \
                    and memcmp(self.names.at + self.places[own].name,
                               PyBytes_AS_STRING(name), len(name)) == 0:
                found = at  # of equal keys the last one counts
            at = self.places[self.places[at].next].next
        return found

    def find(self, document: int, elements: tuple, /) -> tuple:
        """Line and column, from 0, where the key (in a list the value) and the value begin, and
        where the value ends, of the deepest part that is there.
        """
        cdef Py_ssize_t key, value, found
        key = value = self.meant(self.roots[document])
        for element in elements:
            found = self.entry(value, element)
            if found < 0:
                break
            key = self.meant(found)
            value = key
            if isinstance(element, str):
                value = self.meant(self.places[found].next)
        first, last = self.places[key], self.places[value]
        return first.line, first.column, last.line, last.column, last.end_line, last.end_column
