"""YAML to JSON, in one pass over its events.

In: UTF-8 without a byte order mark. Out: for each document its value as JSON, as msgspec writes
it, and the paths of keys that stand there twice, of which the last counts. Refused: what libyaml
refuses (`Broken`) and what is not written here, `Unusual`: other tags than !!str, keys that are no
plain text, aliases that expand too far, and what the scalars call odd.

An entry of a mapping is remembered by where its JSON lies, until the mapping ends. Mappings with
merge keys or with keys that stand twice are then written anew; what an anchor names is kept as a
copy.
"""

cdef enum:
    LEVELS = 100
    FREE_NODES = 100000  # that aliases may make of any document
    EXPANSION = 10       # times its own nodes, beyond that
    FREE_BYTES = 1 << 20

cdef struct _Entry:
    Py_ssize_t start    # of the key, in quotes
    Py_ssize_t colon
    Py_ssize_t end      # of the value
    size_t index        # of the key, in characters of the text
    bint merges

cdef struct _Level:
    bint is_mapping
    bint has_key        # and waits for its value
    bint merges
    Py_ssize_t start
    Py_ssize_t entries  # where those of a mapping begin
    Py_ssize_t count    # of the items of a list
    Py_ssize_t anchor   # number of its name, -1 without
    size_t nodes        # in it, aliases expanded
    int depth           # of what is in it

cdef struct _Key:
    const char* at
    Py_ssize_t length


cdef int by_text(const void* one, const void* other) noexcept nogil:
    cdef const _Key* first = <const _Key*> one
    cdef const _Key* second = <const _Key*> other
    cdef int found
    if first.length != second.length:
        return -1 if first.length < second.length else 1
    return memcmp(first.at, second.at, first.length)


cdef class _Transcoder:
    cdef _Events events
    cdef _Text out
    cdef _Level levels[LEVELS]
    cdef int open
    cdef _Entry* entries
    cdef Py_ssize_t used
    cdef Py_ssize_t room
    cdef _Key* keys
    cdef Py_ssize_t room_of_keys
    cdef bint may_repeat    # aliases are possible
    cdef bint merges        # in this document
    cdef Py_ssize_t copied
    cdef size_t distinct
    cdef list names         # of anchors in this document
    cdef dict named         # name: (JSON, nodes, depth); its number, from 1, while it is open
    cdef dict twice         # path: where its key stands

    def __cinit__(self, bytes text):
        self.events = _Events(text)
        self.out = _Text()
        self.may_repeat = b"&" in text and b"*" in text

    def __dealloc__(self):
        free(self.entries)
        free(self.keys)

    cdef tuple documents(self):
        """All documents, and the `Broken` that ended them."""
        cdef yaml_event_t event
        cdef list found = []
        while True:
            try:
                self.events.next(&event)
            except Broken as broken:
                return found, broken
            try:
                if event.type == YAML_STREAM_END_EVENT:
                    return found, None
                if event.type == YAML_DOCUMENT_START_EVENT:
                    self.begin()
                elif event.type == YAML_DOCUMENT_END_EVENT:
                    places = self.twice
                    found.append((self.out.taken(), sorted(places, key=places.__getitem__)))
                elif event.type != YAML_STREAM_START_EVENT:
                    self.node(&event)
            finally:
                yaml_event_delete(&event)

    cdef int begin(self) except -1:
        self.open = 0
        self.used = 0
        self.merges = False
        self.distinct = 0
        self.names = []
        self.named = {}
        self.twice = {}
        return 0

    cdef int node(self, yaml_event_t* event) except -1:
        """One event within a document."""
        if event.type == YAML_MAPPING_END_EVENT or event.type == YAML_SEQUENCE_END_EVENT:
            return self.leave(event)
        cdef _Level* level = NULL
        if self.open:
            level = &self.levels[self.open - 1]
            if level.is_mapping:
                if not level.has_key:
                    return self.key(level, event)
            else:
                if level.count:
                    self.out.put(c',')
                level.count += 1
        if event.type == YAML_SCALAR_EVENT:
            return self.scalar(event)
        if event.type == YAML_ALIAS_EVENT:
            return self.alias(event)
        return self.enter(event)

    cdef int key(self, _Level* level, yaml_event_t* event) except -1:
        """The key of an entry: a plain text, or what merges."""
        cdef long long value = 0
        cdef Kind kind = TEXT
        cdef _Entry* entry
        if event.type != YAML_SCALAR_EVENT or event.data.scalar.tag != NULL \
                or event.data.scalar.anchor != NULL:
            raise unusual(&event.start_mark, "a key that is not just text")
        if event.data.scalar.plain_implicit:
            kind = kind_of(
                <const char*> event.data.scalar.value, event.data.scalar.length, &value
            )
            if kind == NOTHING:
                raise unusual(&event.start_mark, "a key that is not just text")
        if self.used == self.room:
            self.more_entries()
        if self.used > level.entries:
            self.out.put(c',')
        entry = &self.entries[self.used]
        self.used += 1
        entry.start = self.out.size
        entry.index = event.start_mark.index
        entry.merges = kind == MERGE
        if kind == MERGE:
            level.merges = self.merges = True
        self.out.string(event.data.scalar.value, event.data.scalar.length)
        entry.colon = self.out.size
        level.has_key = True
        return self.out.put(c':')

    cdef int more_entries(self) except -1:
        cdef Py_ssize_t room = self.room + self.room // 2 + 64
        cdef void* more = NULL
        if room <= PY_SSIZE_T_MAX // <Py_ssize_t> sizeof(_Entry):
            more = realloc(self.entries, room * sizeof(_Entry))
        if more == NULL:
            raise MemoryError
        self.entries = <_Entry*> more
        self.room = room
        return 0

    cdef int scalar(self, yaml_event_t* event) except -1:
        cdef Py_ssize_t start = self.out.size
        cdef const char* text = <const char*> event.data.scalar.value
        cdef size_t length = event.data.scalar.length
        cdef long long value = 0
        cdef Kind kind = TEXT
        if event.data.scalar.tag != NULL:
            if strcmp(<const char*> event.data.scalar.tag, b"tag:yaml.org,2002:str") != 0:
                raise unusual(&event.start_mark, "a tag")
        elif event.data.scalar.plain_implicit:
            kind = kind_of(text, length, &value)
        if kind == TEXT:
            self.out.string(<const unsigned char*> text, length)
        elif kind == NOTHING:
            self.out.append(b"null", 4)
        elif kind == TRUE_WORD:
            self.out.append(b"true", 4)
        elif kind == FALSE_WORD:
            self.out.append(b"false", 5)
        elif kind == INTEGER:
            self.integer(text, length)
        elif kind == BASED:
            written = b"%d" % value
            self.out.append(written, len(written))
        else:
            written = repr(float(text[:length])).encode() if kind == FRACTION else b"inf"
            if b"n" in written:
                raise unusual(&event.start_mark, "an unusual number")
            self.out.append(written, len(written))
        if event.data.scalar.anchor != NULL:
            self.name(start, 1, 1, self.opened(event.data.scalar.anchor))
        return self.ended(1, 1, 1)

    cdef int integer(self, const char* text, size_t length) except -1:
        """Decimal digits, as JSON has them."""
        if text[0] == c'+' or (text[0] == c'-' and text[1] == c'0'):
            text += 1
            length -= 1
        return self.out.append(text, length)

    cdef int enter(self, yaml_event_t* event) except -1:
        """A mapping or a list begins."""
        cdef bint is_mapping = event.type == YAML_MAPPING_START_EVENT
        cdef yaml_char_t* tag
        cdef yaml_char_t* anchor
        cdef _Level* level
        if is_mapping:
            tag, anchor = event.data.mapping_start.tag, event.data.mapping_start.anchor
        else:
            tag, anchor = event.data.sequence_start.tag, event.data.sequence_start.anchor
        if tag != NULL:
            raise unusual(&event.start_mark, "a tag")
        if self.open == LEVELS:
            raise unusual(&event.start_mark, "very deep nesting")
        level = &self.levels[self.open]
        level.is_mapping = is_mapping
        level.has_key = level.merges = False
        level.start = self.out.size
        level.entries = self.used
        level.count = 0
        level.anchor = -1 if anchor == NULL else self.opened(anchor)
        level.nodes = 1
        level.depth = 0
        self.open += 1
        return self.out.put(c'{' if is_mapping else c'[')

    cdef int leave(self, yaml_event_t* event) except -1:
        """A mapping or a list ends."""
        cdef _Level* level = &self.levels[self.open - 1]
        if level.is_mapping:
            self.out.put(c'}')
            if level.merges:
                merged(self, level, &event.end_mark)
            elif self.used - level.entries > 1:
                once(self, level, &event.end_mark)
            self.used = level.entries
        else:
            self.out.put(c']')
        self.open -= 1
        if level.anchor >= 0:
            self.name(level.start, level.nodes, level.depth + 1, level.anchor)
        return self.ended(level.nodes, level.depth + 1, 1)

    cdef int ended(self, size_t nodes, int depth, size_t distinct) except -1:
        """A value is written: to what it belongs, and whether the document may be so large."""
        cdef _Level* level
        cdef size_t most
        self.distinct += distinct
        if not self.open:
            most = max(<size_t> FREE_NODES, EXPANSION * self.distinct)
            if self.may_repeat and (depth > LEVELS or nodes > most):
                raise Unusual(-1, -1, "aliases that expand very far")
            return 0
        level = &self.levels[self.open - 1]
        level.nodes += nodes
        level.depth = max(level.depth, depth)
        if level.is_mapping:
            level.has_key = False
            self.entries[self.used - 1].end = self.out.size
        return 0

    cdef Py_ssize_t opened(self, const yaml_char_t* anchor) except -1:
        """The number of a name, whose node begins."""
        name = <bytes> <const char*> anchor
        self.names.append(name)
        self.named[name] = len(self.names)
        return len(self.names) - 1

    cdef int name(self, Py_ssize_t start, size_t nodes, int depth, Py_ssize_t anchor) except -1:
        """What was written from `start` on has a name."""
        name = self.names[anchor]
        if not self.may_repeat or self.named[name] != anchor + 1:
            return 0  # nothing asks for it, or a node in this one has taken the name
        self.count_copy(self.out.size - start)
        self.named[name] = self.out.piece(start, self.out.size), nodes, depth
        return 0

    cdef int count_copy(self, Py_ssize_t size) except -1:
        """Copies together are at most as large as the text."""
        self.copied += size
        if self.copied > max(<Py_ssize_t> FREE_BYTES, len(self.events.text)):
            raise Unusual(-1, -1, "aliases that expand very far")
        return 0

    cdef int alias(self, yaml_event_t* event) except -1:
        """The same as what has that name."""
        found = self.named.get(<bytes> <const char*> event.data.alias.anchor)
        if not isinstance(found, tuple):
            raise unusual(&event.start_mark, "an alias of nothing that is complete")
        text, nodes, depth = found
        self.count_copy(len(text))
        self.out.append(PyBytes_AS_STRING(text), len(text))
        return self.ended(nodes, depth, 0)
