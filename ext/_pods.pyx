# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""Pods in which nothing is odd: from their JSON to what a snapshot holds.

In: the JSON of objects, known to be well-formed. Out: what tells objects apart, and a `Pod` for
each that is one; None for one that `netpolc/frontends/cluster/pods.py` has to read itself. It alone
has messages, and decides.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from address cimport FAULT_NONE, parse_ipv4

import msgspec

from netpolc.core.cluster import Pod
from netpolc.core.ir import WAIVER as _WAIVER
from netpolc.core.ir import Origin
from netpolc.core.nets import parse_address
from netpolc.frontends import objects

cdef extern from "pod_text.h":
    ctypedef struct NetpolcSlice:
        const uint8_t* text
        int64_t size

    enum:
        POD_NAME, POD_NAMESPACE, POD_UID, POD_LABELS, POD_OWNERS
        POD_NODE, POD_HOST_NETWORK
        POD_PHASE, POD_ADDRESS, POD_ADDRESSES, POD_HOST, POD_HOSTS
        POD_VERSION, POD_KIND, POD_FIELDS
        NETPOLC_MOST_CONTAINERS

    ctypedef struct NetpolcPod:
        const char* waiver
        int is_plain, lists
        NetpolcSlice fields[POD_FIELDS]
        NetpolcSlice ports[NETPOLC_MOST_CONTAINERS]
        char sorts[NETPOLC_MOST_CONTAINERS]

    bint netpolc_read_pod(NetpolcPod* pod, const uint8_t* text, int64_t size)
    bint netpolc_is(NetpolcSlice own, const char* word)
    const uint8_t* netpolc_next_address(
        const uint8_t* at, const uint8_t* limit, bint is_first, NetpolcSlice* out
    )

cdef bytes WAIVED = _WAIVER.encode()
cdef frozenset NOTHING = frozenset()
cdef tuple ENDED = tuple([own.encode() for own in objects.FINISHED])
cdef object DECODED = (msgspec.MsgspecError, RecursionError)
cdef object labels_of = msgspec.json.Decoder(dict[str, str]).decode
cdef object owners_of = msgspec.json.Decoder(list[objects.Reference]).decode
cdef object ports_of = msgspec.json.Decoder(list[objects.ContainerPort]).decode
cdef object addresses_of = msgspec.json.Decoder(list[objects.PodAddress]).decode

cdef enum:
    # Of a DNS-1123 subdomain.
    MOST_CHARACTERS = 253


cdef class _Kept:
    """What the last object had as text of one field, and what that is: replicas have the same."""

    cdef bytes text
    cdef object value

    def __cinit__(self):
        self.text = b""

    cdef bint has(self, NetpolcSlice own):
        if own.size != len(self.text):
            return False
        return own.size == 0 or not memcmp(  # which may have no NULL, however little is compared
            PyBytes_AS_STRING(self.text), own.text, <size_t> own.size
        )

    cdef object keep(self, NetpolcSlice own, value):
        self.text, self.value = copied(own), value
        return value


cdef _Kept last_version = _Kept(), last_kind = _Kept()


@cython.final
@cython.no_gc
@cython.freelist(4)
cdef class ScannedObject:
    """An object as it was written, with what tells it apart (`manifests.Likely`)."""

    cdef NetpolcPod pod
    cdef object raw
    cdef readonly str apiVersion, kind

    @property
    def items(self):
        """None: it is no list."""
        return None


def scan(raw, /):
    """The object that a well-formed `msgspec.Raw` holds; None where nobody can be sure."""
    cdef Py_buffer own
    cdef ScannedObject found = ScannedObject.__new__(ScannedObject)
    PyObject_GetBuffer(raw, &own, PyBUF_SIMPLE)
    try:
        found.raw = raw  # whose bytes are never written
        found.pod.waiver = PyBytes_AS_STRING(WAIVED)
        if not netpolc_read_pod(&found.pod, <const uint8_t*> own.buf, own.len):
            return None
    finally:
        PyBuffer_Release(&own)
    found.apiVersion = same_text(last_version, found.pod.fields[POD_VERSION])
    found.kind = same_text(last_kind, found.pod.fields[POD_KIND])
    return found


cdef str same_text(_Kept last, NetpolcSlice own):
    return last.value if last.has(own) else last.keep(own, text_of(own))


cdef str text_of(NetpolcSlice own):
    return PyUnicode_DecodeASCII(<const char*> own.text, own.size, NULL) if own.size else ""


cdef bytes copied(NetpolcSlice own):
    return PyBytes_FromStringAndSize(<const char*> own.text, own.size) if own.size else b""


cdef bint is_subdomain(NetpolcSlice text):
    """Whether `subdomain_problems` of `netpolc/frontends/fields.py` has nothing to say."""
    cdef int64_t at
    cdef uint8_t own, before = c"."
    if not 0 < text.size <= MOST_CHARACTERS:
        return False
    for at in range(text.size):
        own = text.text[at]
        if own == c"-":
            if before == c".":
                return False
        elif own == c".":
            if before == c"." or before == c"-":
                return False
        elif not (c"a" <= own <= c"z" or c"0" <= own <= c"9"):
            return False
        before = own
    return before != c"-" and before != c"."


@cython.final
cdef class PlainPods:
    """Reads pods that hold nothing odd into what was `gathered`.

    `hosts` are addresses of nodes that are known by their texts; `ask_ports` says what ports come
    to, None where something is wrong with them.
    """

    cdef dict pods, documents, labels, ports, hosts, same_owners
    cdef set namespaces, nodes, owners
    cdef object good_labels, ask_ports
    cdef _Kept space, node, last_labels, last_owner, last_ports, last_hosts

    def __init__(self, gathered, dict hosts, ask_ports):
        names = gathered.names
        self.pods, self.documents, self.owners = gathered.pods, gathered.documents, gathered.owners
        self.namespaces, self.nodes, self.labels = names.namespaces, names.nodes, names.whole
        self.good_labels, self.ask_ports = names.good_labels, ask_ports
        self.ports, self.hosts, self.same_owners = {}, hosts, {}
        self.space, self.node, self.last_labels = _Kept(), _Kept(), _Kept()
        self.last_owner, self.last_ports, self.last_hosts = _Kept(), _Kept(), _Kept()

    def read(self, document, /):
        """Namespace and name of a pod in JSON, if it lives, nothing about it is odd, and there is
        no other of this name; else None, and nothing was gathered.
        """
        found, source = document.likely, document.source
        if type(found) is not ScannedObject or source.is_json is not True:
            return None
        document.likely = None
        pod = self.pod(found, source)
        if pod is None:
            return None
        name = (pod.namespace, pod.name)
        if self.pods.setdefault(name, pod) is not pod:
            return None
        self.documents[name] = document
        return name

    cdef object pod(self, ScannedObject found, source):
        cdef NetpolcSlice* fields = found.pod.fields
        cdef bint on_host = netpolc_is(fields[POD_HOST_NETWORK], b"true")
        if not found.pod.is_plain or not is_subdomain(fields[POD_NAME]) or ended(fields[POD_PHASE]):
            return None
        if fields[POD_HOST_NETWORK].size and not on_host:
            if not netpolc_is(fields[POD_HOST_NETWORK], b"false"):
                return None
        space = self.known(self.space, self.namespaces, fields[POD_NAMESPACE])
        node = self.known(self.node, self.nodes, fields[POD_NODE]) if fields[POD_NODE].size else ""
        if space is None or node is None:
            return None
        addresses = self.addresses(fields[POD_ADDRESSES], fields[POD_ADDRESS])
        hosts = self.known_hosts(fields[POD_HOSTS], fields[POD_HOST])
        if addresses is None or hosts is None:
            return None
        labels, ports = self.known_labels(fields[POD_LABELS]), self.known_ports(&found.pod)
        if labels is None or ports is None:
            return None
        owner = self.owner(space, fields[POD_OWNERS])
        if owner is None:
            return None
        name = text_of(fields[POD_NAME])
        origin = Origin("Pod", space, name, (), source)
        return Pod(
            space, name, labels, addresses, node, hosts, on_host, ports[0], origin, NOTHING,
            owner[0], text_of(fields[POD_UID]), False, ports[1],
        )

    cdef str known(self, _Kept last, set good, NetpolcSlice own):
        """A name that is known to be good."""
        if last.has(own):
            return last.value
        text = text_of(own)
        return last.keep(own, text) if text in good else None

    cdef tuple owner(self, space, NetpolcSlice text):
        """The only owner, or none, in a tuple; None where somebody has to choose."""
        if not text.size:
            return (None,)
        known = self.last_owner.value if self.last_owner.has(text) else None
        if known is None:
            try:
                references = owners_of(copied(text))
            except DECODED:
                return None
            known = only_owner(references)
            if known is None:
                return None
            known = self.last_owner.keep(text, self.same_owners.setdefault(known, known))
        if known[0] is not None:
            self.owners.add((space, known[0][0], known[0][1]))
        return known

    cdef tuple addresses(self, NetpolcSlice several, NetpolcSlice single):
        cdef const uint8_t* at = several.text
        cdef const uint8_t* limit = several.text + several.size
        cdef NetpolcSlice text
        cdef list found = []
        while several.size:
            at = netpolc_next_address(at, limit, not found, &text)
            if at == NULL:
                return None
            if at == limit:
                break
            own = address(text)
            if own is None:
                return None
            found.append(own)
        if found or not single.size:
            return tuple(found)
        own = address(single)
        return None if own is None else (own,)

    cdef object known_hosts(self, NetpolcSlice several, NetpolcSlice single):
        cdef NetpolcSlice text = several if several.size else single
        if text.text == NULL:
            return ()
        if self.last_hosts.has(text) and text.size:
            return self.last_hosts.value
        try:
            key = tuple([own.ip for own in addresses_of(copied(several))]) if several.size else ()
        except DECODED:
            return None
        if not key:
            if single.text == NULL:
                return ()
            key, text = (text_of(single),), single
        known = self.hosts.get(key)
        return None if known is None else self.last_hosts.keep(text, known)

    cdef object known_labels(self, NetpolcSlice text):
        if self.last_labels.has(text) and text.size:
            return self.last_labels.value
        try:
            labels = labels_of(copied(text)) if text.size else None
        except DECODED:
            return None
        known = self.labels.get(tuple(labels.items()) if labels else ())
        if known is None:
            known = self.good_labels(labels)
        return None if known is None else self.last_labels.keep(text, known)

    cdef object known_ports(self, NetpolcPod* pod):
        key = ports_key(pod)
        known = self.ports.get(key)
        if known is None:
            known = self.new_ports(pod)
            if known is not None:
                self.ports[key] = known
        return known

    cdef object new_ports(self, NetpolcPod* pod):
        cdef list containers = [], of_start = []
        cdef int number
        try:
            for number in range(pod.lists):
                text = copied(pod.ports[number])
                ports = ports_of(text) if text else None
                if pod.sorts[number] == c"C":
                    containers.append(objects.Container(ports))
                else:
                    restarts = "Always" if pod.sorts[number] == c"S" else None
                    of_start.append(objects.InitContainer(ports, restarts))
        except DECODED:
            return None
        return self.ask_ports(objects.PodSpec(None, None, containers, of_start))


cdef bint ended(NetpolcSlice phase):
    for own in ENDED:
        if netpolc_is(phase, own):
            return True
    return False


cdef tuple only_owner(list references):
    if not references:
        return (None,)
    if len(references) > 1:
        return None
    kind, name = references[0].kind, references[0].name
    return None if not kind or not name or kind == "Node" else ((kind, name),)


cdef object address(NetpolcSlice text):
    """An address on the line; None for none."""
    cdef uint32_t number
    if parse_ipv4(text.text, <size_t> text.size, &number) == FAULT_NONE:
        return number
    try:
        return parse_address(text_of(text))
    except ValueError:
        return None


cdef bytes ports_key(NetpolcPod* pod):
    """What all containers declare, as it is written, and of which sort each is."""
    cdef int64_t size = pod.lists
    cdef int number
    cdef char* to
    for number in range(pod.lists):
        size += pod.ports[number].size
    cdef bytes key = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(key)
    for number in range(pod.lists):
        to[0] = pod.sorts[number]
        to += 1
        if pod.ports[number].size:
            memcpy(to, pod.ports[number].text, <size_t> pod.ports[number].size)
            to += pod.ports[number].size
    return key
