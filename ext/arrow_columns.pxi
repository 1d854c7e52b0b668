# The columns of an Arrow batch as the matcher reads them: as they are, or as numbers of its own.

from libc.stdint cimport int8_t, int16_t, int64_t
from libc.string cimport memcmp, memset, strcmp

from columns cimport Text, text_at

cdef extern from "arrow.h" nogil:
    struct ArrowSchema:
        const char* format
        const char* name
        int64_t n_children
        ArrowSchema** children
        ArrowSchema* dictionary
        void (*release)(ArrowSchema*)

    struct ArrowArray:
        int64_t length
        int64_t offset
        int64_t n_buffers
        int64_t n_children
        const void** buffers
        ArrowArray** children
        ArrowArray* dictionary
        void (*release)(ArrowArray*)

    struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream*, ArrowSchema*)
        int (*get_next)(ArrowArrayStream*, ArrowArray*) nogil
        const char* (*get_last_error)(ArrowArrayStream*)
        void (*release)(ArrowArrayStream*)

cdef enum:
    NOT_A_NUMBER = -1


@final
cdef class ArrowBatch:
    """A batch taken over from its producer, with its four columns as the matcher reads them."""

    cdef ArrowArray array
    cdef readonly Py_ssize_t rows
    cdef AddressColumn src
    cdef AddressColumn dst
    cdef const uint8_t* protocols
    cdef const uint8_t* ports
    cdef uint8_t* own_protocols
    cdef uint16_t* own_ports
    cdef uint8_t* bad               # rows that are no flow, or NULL

    def __dealloc__(self):
        free(self.own_protocols)
        free(self.own_ports)
        free(self.bad)
        self.src = self.dst = None
        if self.array.release != NULL:
            self.array.release(&self.array)


@final
cdef class _Schema:
    cdef ArrowSchema schema

    def __dealloc__(self):
        if self.schema.release != NULL:
            self.schema.release(&self.schema)


cdef int child_named(const ArrowSchema* schema, str name) except -1:
    cdef int64_t i
    cdef list names = []
    if strcmp(schema.format, b"+s"):
        raise ValueError("a batch of columns is expected, not a single Arrow array")
    for i in range(schema.n_children):
        names.append(schema.children[i].name.decode())
    if names.count(name) != 1:
        raise ValueError(f"{names.count(name)} columns are named {name!r}: {', '.join(names)}")
    return names.index(name)


cdef bint holds_text(const ArrowSchema* schema) except -1:
    return schema.format.decode() in ("u", "U", "vu")


cdef bint holds_integers(const ArrowSchema* schema) except -1:
    return schema.format[1] == 0 and schema.format[0] in b"cCsSiIlL"


cdef bint is_read_here(const ArrowSchema* schema, tuple names) except -1:
    """Whether the columns are of types that are read without conversion; what is no column at all
    is refused (`ValueError`), unless its name may be the path of a field.
    """
    cdef int i
    cdef const ArrowSchema* column
    cdef list present = [schema.children[i].name.decode() for i in range(schema.n_children)]
    for i in range(4):
        if names[i] not in present and "." in names[i]:
            return False
        column = schema.children[child_named(schema, names[i])]
        if column.dictionary != NULL:
            if not holds_integers(column):
                return True  # which is refused by name
            column = column.dictionary
        if i < 2:
            if not holds_text(column) and column.format.decode() not in ("I", "w:4", "w:16"):
                return False
        elif not holds_integers(column) and (i == 3 or not holds_text(column)):
            return False
    return True


cdef int set_text(Column* c, const ArrowArray* array, str kind) except -1:
    """The buffers of a column of text: validity, offsets or views, then the bytes."""
    cdef int32_t narrow = 0
    cdef int64_t wide = 0
    cdef size_t last = <size_t> (array.length + array.offset)
    c.offsets = <const uint8_t*> array.buffers[1]
    if kind == "vu":
        c.layout = STRING_VIEW
        c.data_end = c.offsets + 16 * last
        c.buffer_count = array.n_buffers - 3
        c.buffers = array.buffers + 2
        c.buffer_sizes = <const int64_t*> array.buffers[array.n_buffers - 1]
        return 0
    c.data = <const uint8_t*> array.buffers[2]
    if kind == "u":
        c.layout = STRING
        if c.offsets != NULL:
            memcpy(&narrow, c.offsets + 4 * last, 4)
        wide = narrow
    else:
        c.layout = LARGE_STRING
        if c.offsets != NULL:
            memcpy(&wide, c.offsets + 8 * last, 8)
    c.data_end = c.data + wide
    return 0


cdef int set_dictionary(Column* c, const ArrowArray* array, str kind) except -1:
    cdef str widths = "cCsSiIlL"
    if len(kind) != 1 or kind not in widths:
        raise ValueError(f"a dictionary with indices of Arrow type {kind!r}")
    c.layout = DICTIONARY
    c.width = 1 << (widths.index(kind) // 2)
    c.signed_index = kind in "csil"
    c.offsets = <const uint8_t*> array.buffers[1]
    c.dictionary_size = <size_t> array.dictionary.length
    return 0


cdef int set_buffers(
    Column* c, const ArrowArray* array, const ArrowSchema* schema, int64_t offset
) except -1:
    """What is common to all layouts; False where the type holds neither text nor addresses."""
    cdef str kind = schema.format.decode()
    memset(c, 0, sizeof(Column))
    c.offset = <size_t> (array.offset + offset)
    c.validity = <const uint8_t*> array.buffers[0]
    if schema.dictionary != NULL:
        set_dictionary(c, array, kind)
    elif kind in ("u", "U", "vu"):
        set_text(c, array, kind)
    elif kind in ("I", "w:4", "w:16"):
        c.layout = UINT32 if kind == "I" else PACKED4 if kind == "w:4" else PACKED16
        c.data = <const uint8_t*> array.buffers[1]
    else:
        return False
    return True


cdef AddressColumn arrow_addresses(
    MatcherCore matcher, const ArrowArray* array, const ArrowSchema* schema, int64_t rows,
    int64_t offset,
):
    """`offset` is the parent's; `length` of a child may go beyond the parent's rows."""
    cdef AddressColumn result = AddressColumn.__new__(AddressColumn)
    cdef AddressColumn values
    cdef size_t first, count
    if not set_buffers(&result.column, array, schema, offset):
        raise ValueError(
            f"column {schema.name.decode()!r} of Arrow type {schema.format.decode()!r}: addresses "
            "are text, uint32, fixed_size_binary of 4 or 16 bytes, or a dictionary of those"
        )
    result.rows = <size_t> rows
    if result.column.layout == DICTIONARY:
        values = arrow_addresses(
            matcher, array.dictionary, schema.dictionary, array.dictionary.length, 0
        )
        result.owner = values
        result.leaves = <uint32_t*> malloc((values.rows + 1) * sizeof(uint32_t))
        if result.leaves == NULL:
            raise MemoryError
        first = 0
        with nogil:
            while first < values.rows:
                count = values.rows - first if values.rows - first < CHUNK else CHUNK
                resolve_rows(
                    &matcher.t, &matcher.radix6, matcher.simd_code, &values.column, first, count,
                    result.leaves + first,
                )
                first += count
        result.column.leaves = result.leaves
        result.column.values = &values.column
    return result


cdef int64_t integer_at(const uint8_t* data, char kind, size_t row) noexcept nogil:
    """An integer of an Arrow type; beyond 2**63 - 1 it is out of every range anyway."""
    cdef int16_t two
    cdef uint16_t unsigned_two
    cdef int32_t four
    cdef uint32_t unsigned_four
    cdef int64_t eight
    if kind == c"c":
        return (<const int8_t*> data)[row]
    if kind == c"C":
        return data[row]
    if kind == c"s":
        memcpy(&two, data + 2 * row, 2)
        return two
    if kind == c"S":
        memcpy(&unsigned_two, data + 2 * row, 2)
        return unsigned_two
    if kind == c"i":
        memcpy(&four, data + 4 * row, 4)
        return four
    if kind == c"I":
        memcpy(&unsigned_four, data + 4 * row, 4)
        return unsigned_four
    memcpy(&eight, data + 8 * row, 8)
    return eight


cdef int64_t protocol_of_text(const uint8_t* text, size_t size) noexcept nogil:
    """The number behind TCP, UDP, SCTP, ICMP, ICMPv4 or ICMPv6 in any case, or of digits."""
    cdef uint8_t upper[6]
    cdef size_t i
    cdef int64_t number = 0
    if size == 0 or size > 6:
        return NOT_A_NUMBER
    if c"0" <= text[0] <= c"9":
        for i in range(size):
            if size > 3 or not c"0" <= text[i] <= c"9":
                return NOT_A_NUMBER
            number = 10 * number + text[i] - c"0"
        return number
    for i in range(size):
        upper[i] = text[i] & 0xdf if text[i] >= c"A" else text[i]
    if size == 3 and memcmp(upper, b"TCP", 3) == 0:
        return 6
    if size == 3 and memcmp(upper, b"UDP", 3) == 0:
        return 17
    if size == 4 and memcmp(upper, b"SCTP", 4) == 0:
        return 132
    if memcmp(upper, b"ICMP", 4 if size >= 4 else size) or size < 4:
        return NOT_A_NUMBER
    if size == 6 and upper[4] != c"V":
        return NOT_A_NUMBER
    if size == 4 or upper[size - 1] == c"4":
        return 1
    return 58 if upper[size - 1] == c"6" else NOT_A_NUMBER


cdef int fill_integers(
    int64_t* out, const ArrowArray* array, const ArrowSchema* schema, int64_t first, int64_t rows,
    bint named,
) except -1:
    """Numbers of a column, NOT_A_NUMBER for nulls; `named` also takes names of protocols."""
    cdef Column c
    cdef char kind = schema.format[0]
    cdef int64_t i
    cdef int64_t* values = NULL
    cdef int64_t index
    cdef Text text
    if schema.dictionary != NULL:
        values = <int64_t*> malloc((array.dictionary.length + 1) * sizeof(int64_t))
        if values == NULL:
            raise MemoryError
        try:
            fill_integers(
                values, array.dictionary, schema.dictionary, 0, array.dictionary.length, named
            )
            set_buffers(&c, array, schema, first)
            for i in range(rows):
                index = index_at(&c, i) if is_valid(&c, i) else -1
                out[i] = values[index] if index >= 0 else NOT_A_NUMBER
        finally:
            free(values)
        return 0
    if schema.format[1] == 0 and kind in b"cCsSiIlL":
        memset(&c, 0, sizeof(Column))
        c.offset = <size_t> (array.offset + first)
        c.validity = <const uint8_t*> array.buffers[0]
        c.data = <const uint8_t*> array.buffers[1]
        for i in range(rows):
            out[i] = NOT_A_NUMBER
            if is_valid(&c, i):
                out[i] = integer_at(c.data, kind, c.offset + i)
        return 0
    if (
        named and set_buffers(&c, array, schema, first)
        and c.layout in (STRING, LARGE_STRING, STRING_VIEW)
    ):
        for i in range(rows):
            out[i] = NOT_A_NUMBER
            if is_valid(&c, i) and text_at(&c, i, &text):
                out[i] = protocol_of_text(text.start, text.size)
        return 0
    raise ValueError(
        f"column {schema.name.decode()!r} of Arrow type {schema.format.decode()!r}: integers"
        + (" or names are expected" if named else " are expected")
    )


cdef int mark_bad(ArrowBatch batch, int64_t row) except -1:
    if batch.bad == NULL:
        batch.bad = <uint8_t*> malloc(batch.rows + 1)
        if batch.bad == NULL:
            raise MemoryError
        memset(batch.bad, 0, batch.rows + 1)
    batch.bad[row] = 1
    return 0


cdef bint as_it_is(
    const ArrowArray* array, const ArrowSchema* schema, char kind, int64_t rows
) noexcept:
    """A column that needs no conversion: the very type, and no nulls."""
    return (
        schema.dictionary == NULL and schema.format[0] == kind and schema.format[1] == 0
        and array.buffers[0] == NULL and rows > 0
    )


cdef int set_services(
    ArrowBatch batch, const ArrowSchema* schema, int protocol, int port
) except -1:
    cdef const ArrowArray* numbers = batch.array.children[protocol]
    cdef const ArrowArray* ports = batch.array.children[port]
    cdef int64_t offset = batch.array.offset, rows = batch.rows, i
    cdef int64_t* wide = NULL
    if as_it_is(numbers, schema.children[protocol], c"C", rows):
        batch.protocols = <const uint8_t*> numbers.buffers[1] + numbers.offset + offset
    if as_it_is(ports, schema.children[port], c"S", rows):
        batch.ports = <const uint8_t*> ports.buffers[1] + 2 * (ports.offset + offset)
    wide = <int64_t*> malloc((rows + 1) * sizeof(int64_t))
    try:
        if wide == NULL:
            raise MemoryError
        if batch.protocols == NULL:
            batch.own_protocols = <uint8_t*> malloc(rows + 1)
            if batch.own_protocols == NULL:
                raise MemoryError
            fill_integers(wide, numbers, schema.children[protocol], offset, rows, True)
            for i in range(rows):
                batch.own_protocols[i] = <uint8_t> wide[i]
                if not 0 <= wide[i] <= 255:
                    mark_bad(batch, i)
            batch.protocols = batch.own_protocols
        if batch.ports == NULL:
            batch.own_ports = <uint16_t*> malloc((rows + 1) * sizeof(uint16_t))
            if batch.own_ports == NULL:
                raise MemoryError
            fill_integers(wide, ports, schema.children[port], offset, rows, False)
            for i in range(rows):
                batch.own_ports[i] = <uint16_t> wide[i]
                if not 0 <= wide[i] <= 65535 and has_ports(batch.protocols[i]):
                    mark_bad(batch, i)
            batch.ports = <const uint8_t*> batch.own_ports
    finally:
        free(wide)
    return 0


cdef inline bint has_ports(uint8_t protocol) noexcept nogil:
    return protocol == 6 or protocol == 17 or protocol == 132
