# Rows of a direction (netpolc/backends/matcher/directions.py): the loops over viewpoints.
#
# A set of viewpoints is bytes that hold their numbers as int32, in order and each once. A row is
# bytes that hold pairs of int32: (-1, default), then (viewpoint, port set) for all that differ.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, realloc
from libc.string cimport memset

cdef extern from *:
    """
    #define netpolc_lowest(bits) ((size_t) __builtin_ctzll(bits))
    """
    size_t netpolc_lowest(uint64_t bits) nogil


cdef inline int32_t* int32_of(bytes numbers):
    return <int32_t*> PyBytes_AS_STRING(numbers)


cdef inline Py_ssize_t count_of(bytes numbers):
    return PyBytes_GET_SIZE(numbers) >> 2


cdef inline bytes new_int32(Py_ssize_t count):
    return PyBytes_FromStringAndSize(NULL, 4 * count)


@final
cdef class ViewSet:
    """Scratch for sets of viewpoints: it is empty between two calls."""

    # A bit for each viewpoint, and one for each word that has any: few are found quickly.
    cdef uint64_t* words
    cdef uint64_t* filled
    cdef size_t filled_words
    cdef Py_ssize_t size

    def __cinit__(self, size_t count):
        cdef size_t words = (count >> 6) + 1
        self.filled_words = (words >> 6) + 1
        self.words = <uint64_t*> calloc(words, sizeof(uint64_t))
        self.filled = <uint64_t*> calloc(self.filled_words, sizeof(uint64_t))
        if self.words == NULL or self.filled == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.words)
        free(self.filled)

    cdef inline void add(self, int32_t view) noexcept nogil:
        cdef uint64_t bit = 1ULL << (view & 63)
        cdef uint64_t* word = self.words + (view >> 6)
        if not word[0] & bit:
            word[0] |= bit
            self.filled[view >> 12] |= 1ULL << (view >> 6 & 63)
            self.size += 1

    cdef void add_all(self, bytes views):
        cdef int32_t* own = int32_of(views)
        cdef Py_ssize_t i
        for i in range(count_of(views)):
            self.add(own[i])

    cdef bytes take(self):
        """The members; there are none any more."""
        cdef bytes found = new_int32(self.size)
        cdef int32_t* out = int32_of(found)
        cdef size_t top, word
        for top in range(self.filled_words):
            while self.filled[top]:
                word = top << 6 | netpolc_lowest(self.filled[top])
                self.filled[top] &= self.filled[top] - 1
                while self.words[word]:
                    out[0] = <int32_t> (word << 6 | netpolc_lowest(self.words[word]))
                    out += 1
                    self.words[word] &= self.words[word] - 1
        self.size = 0
        return found

    def union(self, list several not None):
        """The viewpoints of several sets, in order."""
        cdef bytes views
        for views in several:
            self.add_all(views)
        return self.take()


@final
cdef class Viewpoints:
    """Viewpoints told apart by the rules that match them: scratch for one row after the other.

    `patterns` is an array of int32, one for each viewpoint, which the caller may fill in: those of
    one pattern match the same rules. It is all zeros between two rows, and only what a row has
    touched is looked at and cleared: a row is not as long as the cluster.
    """

    cdef int32_t[::1] patterns
    cdef ViewSet touched
    # By pattern; zeros between two calls.
    cdef int32_t* moved
    cdef Py_ssize_t room

    def __cinit__(self, int32_t[::1] patterns not None):
        self.patterns = patterns
        self.touched = ViewSet(<size_t> patterns.shape[0])

    def __dealloc__(self):
        free(self.moved)

    cdef int make_room(self, Py_ssize_t patterns) except -1:
        cdef int32_t* more
        if patterns > self.room:
            more = <int32_t*> realloc(self.moved, 2 * patterns * sizeof(int32_t))
            if more == NULL:
                raise MemoryError
            self.moved = more
            memset(more + self.room, 0, (2 * patterns - self.room) * sizeof(int32_t))
            self.room = 2 * patterns
        return 0

    cdef inline int known_pattern(self, int32_t view, Py_ssize_t patterns) except -1:
        """`IndexError` for a pattern that is not among the first ones."""
        if not 0 <= self.patterns[view] < patterns:
            raise IndexError(f"pattern {self.patterns[view]} of {patterns}")
        return 0

    def visit(self, bytes views not None):
        """These have patterns that the caller gave them."""
        self.touched.add_all(views)

    def split(self, list masks not None, list several not None):
        """Patterns by which of several sets of viewpoints hold them, given with what each adds.

        `masks` holds what the pattern 0 of all has, and gets what the others have.
        """
        cdef bytes views
        for views, ports in several:
            self.split_one(masks, views, ports)

    cdef int split_one(self, list masks, bytes views, ports) except -1:
        """Move viewpoints from their pattern to the one that adds some ports."""
        cdef int32_t* own = int32_of(views)
        cdef Py_ssize_t i, n = count_of(views), known = len(masks)
        self.make_room(known)
        for i in range(n):
            self.known_pattern(own[i], known)
            self.moved[self.patterns[own[i]]] = 1
            self.touched.add(own[i])
        for i in range(known):
            if self.moved[i]:
                self.moved[i] = <int32_t> len(masks)
                masks.append(masks[i] | ports)
        for i in range(n):
            self.patterns[own[i]] = self.moved[self.patterns[own[i]]]
        memset(self.moved, 0, known * sizeof(int32_t))
        return 0

    def clear(self):
        """All zeros again; the viewpoints that were touched."""
        cdef bytes views = self.touched.take()
        cdef int32_t* own = int32_of(views)
        cdef Py_ssize_t i
        for i in range(count_of(views)):
            self.patterns[own[i]] = 0
        return views

    def row(self, list sets not None):
        """The row of viewpoints whose patterns have these port sets; what was touched is cleared.

        The default is what those have that nobody touched, or what most have if more differ.
        """
        cdef bytes views = self.touched.take(), made
        cdef int32_t* own = int32_of(views)
        cdef int32_t* out
        cdef int32_t found, default = sets[0]
        cdef Py_ssize_t i, n = count_of(views), count = self.patterns.shape[0], changed = 0
        self.make_room(len(sets))
        for i in range(len(sets)):
            self.moved[i] = sets[i]
        for i in range(n):
            self.known_pattern(own[i], len(sets))
            changed += self.moved[self.patterns[own[i]]] != default
        if 2 * changed > count:
            for i in range(count):
                self.touched.add(<int32_t> i)
            views = self.touched.take()
            own, n = int32_of(views), count
            default = self.most_frequent(sets, &changed)
        made = new_int32(2 * changed + 2)
        out = int32_of(made)
        out[0], out[1] = -1, default
        for i in range(n):
            found = self.moved[self.patterns[own[i]]]
            self.patterns[own[i]] = 0
            if found != default:
                out += 2
                out[0], out[1] = own[i], found
        memset(self.moved, 0, len(sets) * sizeof(int32_t))
        return made

    cdef int32_t most_frequent(self, list sets, Py_ssize_t* others) except -1:
        """The port set that most viewpoints have, the lowest of several; how many have another."""
        cdef dict counts = {}
        cdef Py_ssize_t i, count = self.patterns.shape[0]
        cdef int32_t* alike = <int32_t*> calloc(len(sets), sizeof(int32_t))
        if alike == NULL:
            raise MemoryError
        for i in range(count):
            alike[self.patterns[i]] += 1
        for i in range(len(sets)):
            counts[sets[i]] = counts.get(sets[i], 0) + alike[i]
        free(alike)
        most = max(counts.values())
        others[0] = count - <Py_ssize_t> most
        return min([number for number, held in counts.items() if held == most])


def merge_columns(const int32_t[:, ::1] cells not None, Py_ssize_t count):
    """Columns that all rows treat alike, of rows behind each other.

    The number of each of `count` columns as int32, equal for equal ones, and the first of each
    number.
    """
    cdef Py_ssize_t i, n = cells.shape[0]
    cdef int32_t row = -1, view
    cdef bytes found = new_int32(count), turned = new_int32(2 * n)
    cdef int64_t* end = <int64_t*> calloc(<size_t> count + 2, sizeof(int64_t))
    cdef int64_t* at
    cdef int32_t* cell = int32_of(turned)
    cdef dict known = {}
    cdef list first = []
    if end == NULL:
        raise MemoryError
    try:
        # The cells by column; those of column c end where those of c + 1 begin.
        for i in range(n):
            if cells[i, 0] >= 0:
                end[cells[i, 0] + 2] += 1
        for i in range(count):
            end[i + 2] += end[i + 1]
        for i in range(n):
            if cells[i, 0] < 0:
                row += 1
                continue
            at = end + cells[i, 0] + 1
            cell[2 * at[0]], cell[2 * at[0] + 1] = row, cells[i, 1]
            at[0] += 1
        for view in range(<int32_t> count):
            key = PyBytes_FromStringAndSize(
                <const char*> (cell + 2 * end[view]), 8 * (end[view + 1] - end[view])
            )
            number = known.setdefault(key, len(first))
            if <Py_ssize_t> number == len(first):
                first.append(view)
            int32_of(found)[view] = number
    finally:
        free(end)
    return found, first


def cut_blocks(
    const int32_t[::1] defaults not None, const int64_t[::1] ends not None,
    const int32_t[:, ::1] cells not None, uint32_t[:, ::1] index not None,
):
    """Rows cut into blocks of 64 columns: their port sets as uint16, equal ones once.

    A row has the cells (column, port set) up to its end, the columns in order; `index` gets the
    number of each of its blocks. The block that is its default all over comes before its others.
    """
    cdef uint16_t block[64]
    cdef dict known = {}
    cdef Py_ssize_t row, at = 0
    cdef int32_t first
    cdef uint32_t plain
    for row in range(defaults.shape[0]):
        fill_block(block, defaults[row])
        plain = block_number(known, block)
        for first in range(<int32_t> index.shape[1]):
            if at == ends[row] or cells[at, 0] >> 6 != first:
                index[row, first] = plain
                continue
            while at < ends[row] and cells[at, 0] >> 6 == first:
                block[cells[at, 0] & 63] = <uint16_t> cells[at, 1]
                at += 1
            index[row, first] = block_number(known, block)
            fill_block(block, defaults[row])
    return b"".join(known)


cdef inline void fill_block(uint16_t* block, int32_t value) noexcept nogil:
    cdef int i
    for i in range(64):
        block[i] = <uint16_t> value


cdef inline uint32_t block_number(dict known, const uint16_t* block) except? 0xffffffff:
    return known.setdefault((<const char*> block)[:128], len(known))
