# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""Pods in which nothing is odd: from what msgspec decoded to what a snapshot holds.

In: `PodItem`s (`netpolc/frontends/objects.py`). Out: a `Pod` for each; None for one that
`netpolc/frontends/cluster/pods.py` has to read itself. It alone has messages, and decides.
"""

from libc.stdint cimport uint8_t, uint32_t

from address cimport FAULT_NONE, parse_ipv4

from netpolc.core.cluster import Pod
from netpolc.core.ir import Origin
from netpolc.core.nets import parse_address
from netpolc.frontends import objects
from netpolc.frontends.objects import PodItem

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef frozenset NOTHING = frozenset()
cdef tuple ENDED = objects.FINISHED

cdef enum:
    # Of a DNS-1123 subdomain.
    MOST_CHARACTERS = 253


cdef bint is_subdomain(str text):
    """Whether `subdomain_problems` of `netpolc/frontends/fields.py` has nothing to say."""
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text), at
    cdef const uint8_t* found
    cdef uint8_t own, before = c"."
    if not PyUnicode_IS_ASCII(text) or not 0 < size <= MOST_CHARACTERS:
        return False
    found = <const uint8_t*> PyUnicode_DATA(text)
    for at in range(size):
        own = found[at]
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


cdef class PlainPods:
    """Reads pods that hold nothing odd into what was `gathered`.

    `ports` and `hosts` are what is known of those of other pods; `ask_ports` says of others what
    they come to, None where something is wrong with them.
    """

    cdef dict pods, documents, labels, ports, hosts, same_owners
    cdef set namespaces, nodes, owners
    cdef object good_labels, ask_ports

    def __init__(self, gathered, dict ports, dict hosts, ask_ports):
        names = gathered.names
        self.pods, self.documents, self.owners = gathered.pods, gathered.documents, gathered.owners
        self.namespaces, self.nodes, self.labels = names.namespaces, names.nodes, names.whole
        self.good_labels, self.ask_ports = names.good_labels, ask_ports
        self.ports, self.hosts, self.same_owners = ports, hosts, {}

    def read(self, document, /):
        """Namespace and name of a pod in JSON, if it lives, nothing about it is odd, and there is
        no other of this name; else None, and nothing was gathered.
        """
        found, source = document.likely, document.source
        if type(found) is not PodItem or source.is_json is not True:
            return None
        pod = self.pod(found, source)
        if pod is None:
            return None
        name = (pod.namespace, pod.name)
        if self.pods.setdefault(name, pod) is not pod:
            return None
        self.documents[name] = document
        document.likely = None
        return name

    cdef object pod(self, found, source):
        metadata, spec, status = found.metadata, found.spec, found.status
        if metadata is None or spec is None or status is None:
            return None
        name, namespace, node = metadata.name, metadata.namespace, spec.nodeName
        if name is None or not is_subdomain(name) or namespace not in self.namespaces:
            return None
        if not (node is None or node in self.nodes):
            return None
        annotations, phase = metadata.annotations, status.phase
        if annotations is not None and annotations.waiver is not None:
            return None
        if phase is not None and phase in ENDED:
            return None
        cdef tuple owner = self.owner(namespace, metadata.ownerReferences)
        addresses = self.addresses(status.podIPs, status.podIP)
        hosts = self.known_hosts(status.hostIPs, status.hostIP)
        if owner is None or addresses is None or hosts is None:
            return None
        labels, ports = self.known_labels(metadata.labels), self.known_ports(spec)
        if labels is None or ports is None:
            return None
        origin = Origin("Pod", namespace, name, (), source)
        return Pod(
            namespace, name, labels, addresses, node or "", hosts, spec.hostNetwork is True,
            ports[0], origin, NOTHING, owner[0], metadata.uid or "", False, ports[1],
        )

    cdef tuple owner(self, namespace, list references):
        """The only owner, or none, in a tuple; None where somebody has to choose."""
        if not references:
            return (None,)
        if len(references) > 1:
            return None
        kind, name = references[0].kind, references[0].name
        if not kind or not name or kind == "Node":
            return None
        key = (kind, name)
        known = self.same_owners.get(key)
        if known is None:
            known = self.same_owners[key] = (key,)
        self.owners.add((namespace, kind, name))
        return known

    cdef tuple addresses(self, list several, single):
        if several:
            if len(several) == 1:
                own = self.address(several[0].ip)
                return None if own is None else (own,)
            found = [self.address(entry.ip) for entry in several]
            return None if None in found else tuple(found)
        if not single:
            return ()
        own = self.address(single)
        return None if own is None else (own,)

    cdef object address(self, text):
        """An address on the line; None for none."""
        cdef uint32_t number
        if text is None:
            return None
        if PyUnicode_IS_ASCII(text) and parse_ipv4(
            <const uint8_t*> PyUnicode_DATA(text), <size_t> PyUnicode_GET_LENGTH(text), &number
        ) == FAULT_NONE:
            return number
        try:
            return parse_address(text)
        except ValueError:
            return None

    cdef object known_hosts(self, list several, single):
        if not several and single is None:
            return ()
        return self.hosts.get(tuple([own.ip for own in several]) if several else (single,))

    cdef object known_labels(self, dict labels):
        known = self.labels.get(tuple(labels.items()) if labels else ())
        return self.good_labels(labels) if known is None else known

    cdef object known_ports(self, spec):
        key = (entries(spec.containers), sidecars(spec.initContainers))
        known = self.ports.get(key)
        return self.ask_ports(spec) if known is None else known


cdef tuple entries(list containers):
    """Name, protocol and number of the ports, container by container."""
    cdef list found = []
    if containers:
        for own in containers:
            ports = own.ports
            found.append(
                tuple([(port.name, port.protocol, port.containerPort) for port in ports])
                if ports else ()
            )
    return tuple(found)


cdef tuple sidecars(list containers):
    if not containers:
        return ()
    return entries([own for own in containers if own.restartPolicy == "Always"])
