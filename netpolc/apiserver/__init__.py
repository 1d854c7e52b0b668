"""A cluster as its API server tells it: lists of objects, and what becomes of them.

Comes in: where the server is and who asks (`kubeconfig`, or the files of a pod). Goes out: events,
each with objects as `netpolc.load_objects` takes them, reduced to the fields that netpolc reads.
Everything is asked over HTTPS with the standard library; nothing is written but the Events that
`netpolc agent --events` is asked for.
"""

from netpolc.apiserver.access.kubeconfig import contexts as contexts
from netpolc.apiserver.access.kubeconfig import from_kubeconfig as from_kubeconfig
from netpolc.apiserver.access.server import Access as Access
from netpolc.apiserver.access.server import in_cluster as in_cluster
from netpolc.apiserver.events import Absent as Absent
from netpolc.apiserver.events import Changed as Changed
from netpolc.apiserver.events import Ended as Ended
from netpolc.apiserver.events import Event as Event
from netpolc.apiserver.events import Gone as Gone
from netpolc.apiserver.events import Listed as Listed
from netpolc.apiserver.events import Trouble as Trouble
from netpolc.apiserver.events import WireObject as WireObject
from netpolc.apiserver.follow.following import Followed as Followed
