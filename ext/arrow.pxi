# Arrow columns through the C data interface: no copy, and no need of pyarrow.
#
# A source is whatever has `__arrow_c_stream__` or `__arrow_c_array__` (the PyCapsule protocol):
# tables, record batches, readers, data frames. Batches are judged as they come.

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.string cimport memset


cdef ArrowBatch open_batch(
    MatcherCore matcher, ArrowArray* array, const ArrowSchema* schema, tuple names
):
    """Take over an array; from here on the batch releases it."""
    cdef ArrowBatch batch = ArrowBatch.__new__(ArrowBatch)
    cdef int places[4]
    cdef int i
    cdef int64_t row, place
    cdef const uint8_t* validity
    batch.array = array[0]
    array.release = NULL
    batch.rows = batch.array.length
    for i in range(4):
        places[i] = child_named(schema, names[i])
    batch.src = arrow_addresses(
        matcher, batch.array.children[places[0]], schema.children[places[0]], batch.rows,
        batch.array.offset,
    )
    batch.dst = arrow_addresses(
        matcher, batch.array.children[places[1]], schema.children[places[1]], batch.rows,
        batch.array.offset,
    )
    set_services(batch, schema, places[2], places[3])
    validity = <const uint8_t*> batch.array.buffers[0]
    if validity != NULL:
        for row in range(batch.rows):
            place = row + batch.array.offset
            if not validity[place >> 3] >> (place & 7) & 1:
                mark_bad(batch, row)
    return batch


class _Held:
    """An Arrow source whose capsules were taken out of it."""

    def __init__(self, stream=None, array=None):
        if stream is not None:
            self.__arrow_c_stream__ = lambda requested_schema=None: stream
        else:
            self.__arrow_c_array__ = lambda requested_schema=None: array


def arrow_batches(MatcherCore matcher not None, source, tuple names, plain=None):
    """The batches of an Arrow source one by one, each as `fill_batch` takes it.

    `plain` makes of a source with columns of other types than are read here, and their names, one
    with four columns src, dst, protocol and port of those; or None where it cannot.
    """
    cdef _Schema schema = _Schema.__new__(_Schema)
    cdef ArrowArray array
    cdef ArrowArrayStream* stream
    cdef ArrowSchema* given
    if len(names) != 4:
        raise ValueError(f"{len(names)} names of columns: source, destination, protocol, port")
    if hasattr(source, "__arrow_c_stream__"):
        capsule = source.__arrow_c_stream__()
        stream = <ArrowArrayStream*> PyCapsule_GetPointer(capsule, "arrow_array_stream")
        if stream.get_schema(stream, &schema.schema):
            raise ValueError(stream_error(stream))
        if plain is not None and not is_read_here(&schema.schema, names):
            other = plain(_Held(stream=capsule), names)
            if other is not None:
                yield from arrow_batches(matcher, other, ("src", "dst", "protocol", "port"))
                return
        while True:
            memset(&array, 0, sizeof(ArrowArray))
            if stream.get_next(stream, &array):
                raise ValueError(stream_error(stream))
            if array.release == NULL:
                return
            yield open_batch(matcher, &array, &schema.schema, names)
    elif hasattr(source, "__arrow_c_array__"):
        schema_capsule, array_capsule = source.__arrow_c_array__()
        given = <ArrowSchema*> PyCapsule_GetPointer(schema_capsule, "arrow_schema")
        if plain is not None and not is_read_here(given, names):
            other = plain(_Held(array=(schema_capsule, array_capsule)), names)
            if other is not None:
                yield from arrow_batches(matcher, other, ("src", "dst", "protocol", "port"))
                return
        yield open_batch(
            matcher, <ArrowArray*> PyCapsule_GetPointer(array_capsule, "arrow_array"), given, names
        )
    else:
        raise TypeError(
            f"{type(source).__name__} has neither __arrow_c_stream__ nor __arrow_c_array__"
        )


cdef str stream_error(ArrowArrayStream* stream):
    cdef const char* text = stream.get_last_error(stream)
    return "the Arrow stream failed" if text == NULL else text.decode(errors="replace")


def fill_batch(
    MatcherCore matcher not None, ArrowBatch batch not None, uint8_t[::1] out, size_t first,
    size_t last,
):
    """Judge rows first..last of a batch into `out`, without the GIL."""
    cdef size_t i
    if out.shape[0] != batch.rows or not first <= last <= <size_t> batch.rows:
        raise ValueError("rows outside the batch")
    if first == last:
        return
    with nogil:
        matcher.fill(
            &batch.src.column, &batch.dst.column, batch.protocols, batch.ports, &out[0], first,
            last,
        )
        if batch.bad != NULL:
            for i in range(first, last):
                if batch.bad[i]:
                    out[i] = INVALID
