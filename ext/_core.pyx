# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""The compiled core of the matcher.

In: prefixes and addresses as text, integers, packed bytes, `ipaddress` objects or buffers. Out:
longest-prefix lookups one at a time (`RadixTree.lookup`) or by the column. Refused: what
`address.pxd` lists as faults.

`binding=False`: a plain method descriptor is called faster than a Cython function object.
"""

include "arguments.pxi"
include "radix_tables.pxi"
include "radix_tree.pxi"
include "matcher.pxi"
include "lines.pxi"
include "rows.pxi"
include "arrow_columns.pxi"
include "arrow.pxi"
