# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""YAML through the events of libyaml: as JSON, and where its fields stand.

In: bytes in UTF-8. Out: JSON for each document, marks. Refused: what libyaml refuses (`Broken`),
and what `netpolc/manifests/yaml/pyyaml_format.py` reads instead (`Unusual`).
"""

import json

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcmp, memcpy, strcmp, strlen

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    void Py_XDECREF(PyObject* own)

cdef extern from *:
    """
    #define NETPOLC_UINT32_MAX 0xffffffffu
    """
    const size_t UINT32_MAX "NETPOLC_UINT32_MAX"

include "yaml_events.pxi"
include "yaml_scalars.pxi"
include "yaml_text.pxi"
include "yaml_transcoder.pxi"
include "yaml_repeats.pxi"
include "yaml_marks.pxi"


def transcode(text: bytes, /) -> tuple:
    """For each document its value as JSON and the paths of keys that stand there twice; with them
    the `Broken` that ended the text, or None. Raises `Unusual`.
    """
    return _Transcoder(text).documents()
