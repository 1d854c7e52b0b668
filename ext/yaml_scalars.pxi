"""What a plain scalar is, as kubectl's YAML has it: no dates, no base 60.

In: its text. Out: a kind, of numbers in base 8 and 16 the value, too. What is rare (underscores,
base 2, more than 18 digits, infinities) is `ODD`: whoever knows all of YAML reads it.
"""

cdef enum Kind:
    TEXT
    NOTHING
    TRUE_WORD
    FALSE_WORD
    INTEGER     # decimal digits, perhaps with a sign
    BASED       # another base: its value is given
    FRACTION
    MERGE
    ODD


cdef inline bint is_digit(char c) noexcept nogil:
    return c >= c'0' and c <= c'9'


cdef inline bint is_word(const char* text, size_t length, const char* small) noexcept nogil:
    """Whether it is this word in small letters, in capitals, or with a capital first."""
    cdef size_t i
    cdef bint all_small = True, all_large = True, first_large = True
    if strlen(small) != length:
        return False
    for i in range(length):
        if text[i] == small[i]:
            all_large = False
            if i == 0:
                first_large = False
        elif text[i] == small[i] - 32:
            all_small = False
            if i > 0:
                first_large = False
        else:
            return False
    return all_small or all_large or first_large


cdef Kind based(const char* text, size_t length, int bits, long long* value) noexcept nogil:
    """Digits of base 8 or 16."""
    cdef size_t i
    cdef int digit
    cdef bint odd = length > 15 or length == 0
    value[0] = 0
    for i in range(length):
        if is_digit(text[i]):
            digit = text[i] - c'0'
        elif text[i] >= c'a' and text[i] <= c'f':
            digit = text[i] - c'a' + 10
        elif text[i] >= c'A' and text[i] <= c'F':
            digit = text[i] - c'A' + 10
        elif text[i] == c'_':
            odd = True
            continue
        else:
            return TEXT
        if digit >= 1 << bits:
            return TEXT
        if not odd:
            value[0] = (value[0] << bits) | digit
    return ODD if odd else BASED


cdef Kind fraction(const char* text, size_t length) noexcept nogil:
    """A number with a point or an exponent, or one that begins with 0 and is not of base 8."""
    cdef size_t i = 0, first
    cdef bint odd = False
    if text[0] == c'.':
        i = 1
        while i < length and is_digit(text[i]):
            i += 1
        if i == 1:
            return TEXT
    else:
        while i < length and (is_digit(text[i]) or text[i] == c'_'):
            odd |= text[i] == c'_'
            i += 1
        if i < length and text[i] == c'.':
            i += 1
            while i < length and (is_digit(text[i]) or text[i] == c'_'):
                odd |= text[i] == c'_'
                i += 1
    if i < length and (text[i] == c'e' or text[i] == c'E'):
        i += 1
        if i < length and (text[i] == c'-' or text[i] == c'+'):
            i += 1
        first = i
        while i < length and is_digit(text[i]):
            i += 1
        if i == first:
            return TEXT
    if i < length:
        return TEXT
    return ODD if odd else FRACTION


cdef Kind number(const char* text, size_t length, long long* value) noexcept nogil:
    """What begins with a sign, a digit or a point."""
    cdef size_t i
    cdef bint negative = text[0] == c'-'
    cdef Kind found
    if text[0] == c'-' or text[0] == c'+':
        text += 1
        length -= 1
    if length == 0:
        return TEXT
    if text[0] == c'.':
        if is_word(text + 1, length - 1, b"inf") or (
            length == 4 and (memcmp(text, b".nan", 4) == 0 or memcmp(text, b".NaN", 4) == 0
                             or memcmp(text, b".NAN", 4) == 0)
        ):
            return ODD
        return fraction(text, length)
    if not is_digit(text[0]):
        return TEXT
    if text[0] == c'0' and length > 1:
        if text[1] == c'x' or text[1] == c'X':
            found = TEXT if length == 2 else based(text + 2, length - 2, 4, value)
        elif text[1] == c'b' or text[1] == c'B':
            found = TEXT if length == 2 else based(text + 2, length - 2, 1, value)
        elif text[1] == c'o' or text[1] == c'O':
            found = TEXT if length == 2 else based(text + 2, length - 2, 3, value)
        else:
            found = based(text + 1, length - 1, 3, value)
        if found == TEXT:
            return fraction(text, length)
        if negative:
            value[0] = -value[0]
        return found
    for i in range(length):
        if not is_digit(text[i]):
            if text[i] != c'_':
                return fraction(text, length)
            found = fraction(text, length)
            return ODD if found != TEXT else TEXT
    return INTEGER if length <= 18 else ODD


cdef Kind kind_of(const char* text, size_t length, long long* value) noexcept nogil:
    """What a plain scalar is."""
    cdef char c
    if length == 0:
        return NOTHING
    c = text[0]
    if is_digit(c) or c == c'-' or c == c'+' or c == c'.':
        return number(text, length, value)
    if length > 5:
        return TEXT
    if c == c'~':
        return NOTHING if length == 1 else TEXT
    if c == c'<':
        return MERGE if length == 2 and text[1] == c'<' else TEXT
    if is_word(text, length, b"null"):
        return NOTHING
    if is_word(text, length, b"true") or is_word(text, length, b"yes") \
            or is_word(text, length, b"on"):
        return TRUE_WORD
    if is_word(text, length, b"false") or is_word(text, length, b"no") \
            or is_word(text, length, b"off"):
        return FALSE_WORD
    return TEXT
