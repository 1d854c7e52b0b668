"""Mappings in which keys stand twice, and those that take over what is in others (`<<`)."""


cdef int once(_Transcoder own, _Level* level, const yaml_mark_t* mark) except -1:
    """Write a mapping anew if keys stand twice in it: each where the first stands, with the last
    value.
    """
    cdef Py_ssize_t count = own.used - level.entries
    cdef Py_ssize_t i, j
    cdef _Entry* entries = own.entries + level.entries
    cdef const char* at = own.out.at
    cdef bint twice = False
    if count <= 12:
        for i in range(1, count):
            for j in range(i):
                if entries[i].colon - entries[i].start == entries[j].colon - entries[j].start \
                        and memcmp(at + entries[i].start, at + entries[j].start,
                                   entries[i].colon - entries[i].start) == 0:
                    twice = True
    else:
        twice = any_twice(own, entries, count)
    if not twice:
        return 0
    if own.names or own.merges:
        raise unusual(mark, "keys that stand twice, beside anchors or merges")
    note(own, level)
    return write(own, level, dict(pairs(own, level)))


cdef bint any_twice(_Transcoder own, _Entry* entries, Py_ssize_t count) except -1:
    """Whether any of many keys are equal."""
    cdef Py_ssize_t i
    cdef void* more = NULL
    if count > own.room_of_keys:
        if count <= PY_SSIZE_T_MAX // 2 // <Py_ssize_t> sizeof(_Key):
            more = realloc(own.keys, 2 * count * sizeof(_Key))
        if more == NULL:
            raise MemoryError
        own.keys = <_Key*> more
        own.room_of_keys = 2 * count
    for i in range(count):
        own.keys[i].at = own.out.at + entries[i].start
        own.keys[i].length = entries[i].colon - entries[i].start
    qsort(own.keys, count, sizeof(_Key), by_text)
    for i in range(1, count):
        if by_text(&own.keys[i - 1], &own.keys[i]) == 0:
            return True
    return False


cdef list pairs(_Transcoder own, _Level* level):
    """Keys and values of a mapping as they are written, without its merges."""
    cdef Py_ssize_t i
    cdef list found = []
    for i in range(level.entries, own.used):
        entry = own.entries[i]
        if not entry.merges:
            found.append((
                own.out.piece(entry.start, entry.colon), own.out.piece(entry.colon + 1, entry.end)
            ))
    return found


cdef int write(_Transcoder own, _Level* level, dict fields) except -1:
    """The mapping, once more."""
    text = b"{%b}" % b",".join([b"%b:%b" % pair for pair in fields.items()])
    own.out.size = level.start
    return own.out.append(PyBytes_AS_STRING(text), len(text))


cdef int note(_Transcoder own, _Level* level) except -1:
    """Note the paths of keys that stand there already."""
    cdef Py_ssize_t i
    cdef int number
    cdef list path = []
    cdef set seen = set()
    for number in range(own.open - 1):
        if own.levels[number].is_mapping:
            i = own.levels[number + 1].entries - 1
            path.append(decoded(own, &own.entries[i]))
        else:
            path.append(own.levels[number].count - 1)
    for i in range(level.entries, own.used):
        name = decoded(own, &own.entries[i])
        if name in seen:
            own.twice.setdefault((*path, name), own.entries[i].index)
        seen.add(name)
    return 0


cdef object decoded(_Transcoder own, const _Entry* entry):
    return json.loads(own.out.piece(entry.start, entry.colon))


cdef int merged(_Transcoder own, _Level* level, const yaml_mark_t* mark) except -1:
    """Write a mapping anew with what it takes over, which comes first and which its own keys
    replace.
    """
    cdef Py_ssize_t i
    cdef dict fields = {}
    own_pairs = pairs(own, level)
    if own.twice or len(dict(own_pairs)) < len(own_pairs):
        raise unusual(mark, "keys that stand twice, beside anchors or merges")
    for i in range(level.entries, own.used):
        if own.entries[i].merges:
            whole = own.out.piece(own.entries[i].colon + 1, own.entries[i].end)
            parts = reversed(members(whole)) if whole[0] == c"[" else [whole]
            for part in parts:
                if part[0] != c"{":
                    raise unusual(mark, "a merge of what is no map")
                for member in members(part):
                    end = string_end(member)
                    fields[member[:end]] = member[end + 1:]
    fields.update(own_pairs)
    return write(own, level, fields)


cdef list members(bytes text):
    """What is between the commas of an object or array that was written here."""
    cdef Py_ssize_t i, start = 1
    cdef Py_ssize_t end = len(text) - 1
    cdef const char* at = PyBytes_AS_STRING(text)
    cdef int depth = 0
    cdef bint quoted = False
    cdef list found = []
    i = 1
    while i < end:
        if quoted:
            if at[i] == c"\\":
                i += 1
            elif at[i] == c'"':
                quoted = False
        elif at[i] == c'"':
            quoted = True
        elif at[i] == c"{" or at[i] == c"[":
            depth += 1
        elif at[i] == c"}" or at[i] == c"]":
            depth -= 1
        elif at[i] == c"," and depth == 0:
            found.append(text[start:i])
            start = i + 1
        i += 1
    if end > 1:
        found.append(text[start:end])
    return found


cdef Py_ssize_t string_end(bytes text) except -1:
    """Where the string ends with which a member begins."""
    cdef Py_ssize_t i = 1
    cdef const char* at = PyBytes_AS_STRING(text)
    while at[i] != c'"':
        i += 2 if at[i] == c"\\" else 1
    return i + 1
