"""What netpolc makes of the kernel's answers: late, interrupted, lost, cut off, refusing.

In: a stub of a netlink socket that answers as it is told. Out: listings that are whole, refusals
that name the message, errors for everything else.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

import pytest

from netpolc.backends.nft.netlink.wire import Message, Refused, Wire

ERROR, DONE, OVERRUN, NEW = 2, 3, 4, 10 << 8
MULTI, INTERRUPTED, TLVS = 0x2, 0x10, 0x200
Answer = Callable[[list[int]], bytes]


class Kernel:
    """Answers each request with the datagrams that it was given; `sent` are the requests."""

    def __init__(self, answers: list[Answer | OSError | tuple[bytes, int]]) -> None:
        self.answers, self.sent = answers, list[bytes]()

    def settimeout(self, seconds: float) -> None:
        pass

    def setsockopt(self, level: int, option: int, value: int) -> None:
        pass

    def close(self) -> None:
        pass

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recvmsg_into(self, buffers: list[bytearray]) -> tuple[int, list[object], int, None]:
        if not self.answers:
            raise BlockingIOError
        own = self.answers.pop(0)
        if isinstance(own, OSError):
            raise own
        data, flags = own if isinstance(own, tuple) else (own(self.numbers()), 0)
        buffers[0][: len(data)] = data
        return len(data), [], flags, None

    def numbers(self) -> list[int]:
        """The numbers of the messages of the last request."""
        found, rest = [], self.sent[-1]
        while rest:
            length, _, _, number, _ = struct.unpack_from("=IHHII", rest)
            found.append(number)
            rest = rest[length + 3 & ~3 :]
        return found


def message(kind: int, number: int, content: bytes, flags: int = MULTI) -> bytes:
    head = struct.pack("=IHHII", 16 + len(content), kind, flags, number, 0)
    return head + content + bytes(-len(content) & 3)


def found(name: bytes, flags: int = MULTI) -> Answer:
    return lambda numbers: message(NEW, numbers[0], bytes((1, 0, 0, 0)) + name, flags)


def done(flags: int = MULTI, code: int = 0) -> Answer:
    return lambda numbers: message(DONE, numbers[0], struct.pack("=i", -code), flags)


def error(at: int, code: int, extended: bytes = b"") -> Answer:
    """An acknowledgement, or a refusal, of the message of a batch that stands there."""
    return lambda numbers: message(
        ERROR, numbers[at], struct.pack("=i", -code) + bytes(16) + extended, TLVS * bool(extended)
    )


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Wire, Kernel]]:
    def make(*answers: Answer | OSError | tuple[bytes, int]) -> tuple[Wire, Kernel]:
        kernel = Kernel(list(answers))
        monkeypatch.setattr(socket, "socket", lambda *_: kernel)
        return Wire(), kernel

    return make


Speaking = Callable[..., tuple[Wire, Kernel]]


def test_a_listing_is_read_to_its_end(speaking: Speaking) -> None:
    own, _ = speaking(lambda n: found(b"aaaa")(n) + found(b"bbbb")(n), found(b"cccc"), done())
    assert own.listed(10) == [b"aaaa", b"bbbb", b"cccc"]


def test_answers_to_an_earlier_question_are_passed_over(speaking: Speaking) -> None:
    own, _ = speaking(lambda n: found(b"late")([n[0] - 1]) + found(b"mine")(n), done())
    assert own.listed(10) == [b"mine"]


@pytest.mark.parametrize(
    "broken",
    [
        [found(b"half", MULTI | INTERRUPTED), done()],
        [found(b"half"), done(MULTI | INTERRUPTED)],
        [found(b"half"), done(code=errno.EINTR)],
    ],
    ids=["in the middle", "at the end", "as an error"],
)
def test_a_listing_that_was_interrupted_is_made_again(
    broken: list[Answer], speaking: Speaking
) -> None:
    own, kernel = speaking(*broken, found(b"whole"), done())
    assert own.listed(10) == [b"whole"]
    assert len(kernel.sent) == 2


def test_who_hears_of_all_changes_takes_what_is_listed_within_a_table(speaking: Speaking) -> None:
    own, kernel = speaking(
        found(b"rule", MULTI | INTERRUPTED), done(), done(MULTI | INTERRUPTED, errno.EINTR), done()
    )
    own.is_watched = True
    assert own.listed(7) == [b"rule"]
    assert own.listed(7) == []  # what ended early is listed again all the same
    assert len(kernel.sent) == 3


@pytest.mark.parametrize("kind", [1, 4, 19, 23])  # tables, chains, objects, flowtables
def test_what_the_kernel_counts_over_all_tables_is_listed_again(
    kind: int, speaking: Speaking
) -> None:
    own, _ = speaking(found(b"half", MULTI | INTERRUPTED), done(), found(b"whole"), done())
    own.is_watched = True
    assert own.listed(kind) == [b"whole"]


def test_other_subsystems_answer_with_their_own_headers(speaking: Speaking) -> None:
    own, kernel = speaking(found(b"flow"), done(), found(b"count"), error(0, 0))
    assert own.dumped(0x101, b"head") == [bytes((1, 0, 0, 0)) + b"flow"]
    assert own.asked(0x105, b"head") == bytes((1, 0, 0, 0)) + b"count"
    own.done(0x102, b"head")
    kinds = [struct.unpack_from("=IHH", sent)[1:] for sent in kernel.sent]
    assert kinds == [(0x101, 0x301), (0x105, 0x1), (0x102, 0x5)]
    assert all(sent[16:] == b"head" for sent in kernel.sent)


def test_what_another_subsystem_refuses_is_an_error(speaking: Speaking) -> None:
    own, _ = speaking(error(0, errno.EPERM), error(0, errno.ENOENT))
    with pytest.raises(Refused, match="not permitted"):
        own.done(0x102, b"head")
    assert own.asked(0x105, b"head") is None


def test_a_listing_that_never_is_whole_is_an_error(speaking: Speaking) -> None:
    own, _ = speaking(*[done(MULTI | INTERRUPTED)] * 100)
    with pytest.raises(OSError, match="changed during each of 50 listings"):
        own.listed(10)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (OSError(errno.ENOBUFS, "No buffer space available"), "No buffer space available"),
        ((b"x" * 16, socket.MSG_TRUNC), "longer than"),
        ((message(NEW, 1, b"12345678")[:-4], 0), "ends inside a message"),
        ((b"\0\0\0", 0), "ends inside a message"),
        ((bytes(32), 0), "ends inside a message"),
        ((message(OVERRUN, 1, b""), 0), "answers of the kernel were lost"),
        ((message(DONE, 1, b""), 0), "says nothing"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_answers_that_are_not_whole_are_errors(
    answer: OSError | tuple[bytes, int], words: str, speaking: Speaking
) -> None:
    with pytest.raises(OSError, match=words):
        speaking(answer)[0].listed(10)
    with pytest.raises(OSError, match=words):
        speaking(answer)[0].one(10, b"")


def test_what_is_not_there_is_none(speaking: Speaking) -> None:
    assert speaking(error(0, errno.ENOENT))[0].one(10, b"") is None
    with pytest.raises(Refused, match="Operation not permitted"):
        speaking(error(0, errno.EPERM))[0].one(10, b"")


ONE = Message(9, 0x400, b"abcdefgh", "set a")
OTHER = Message(12, 0x400, b"ijklmnop", "set b")


def test_a_batch_is_one_datagram_and_waits_for_its_last_answer(speaking: Speaking) -> None:
    own, kernel = speaking(error(2, 0))
    own.commit([ONE, OTHER])
    (batch,) = kernel.sent
    kinds = []
    while batch:
        length, kind, flags = struct.unpack_from("=IHH", batch)
        kinds.append((kind, bool(flags & 4)))
        batch = batch[length + 3 & ~3 :]
    assert kinds == [(16, False), (NEW | 9, False), (NEW | 12, True), (17, False)]


def test_refusals_are_read_to_the_last_and_the_first_is_told(speaking: Speaking) -> None:
    said = b"No such set\0"
    extended = struct.pack("=HH", 4 + len(said), 1) + said + struct.pack("=HHI", 8, 2, 24)
    own, kernel = speaking(error(1, errno.ENOENT, extended), error(2, errno.EBUSY))
    with pytest.raises(Refused, match=r"set a: No such file or directory \(No such set\)") as told:
        own.commit([ONE, OTHER])
    assert (told.value.message, told.value.offset) == (ONE, 4)
    assert kernel.answers == []


def test_a_batch_that_is_refused_as_a_whole_is_not_waited_for(speaking: Speaking) -> None:
    own, _ = speaking(error(0, errno.EPERM))
    with pytest.raises(Refused, match="Operation not permitted"):
        own.commit([ONE, OTHER])


def test_a_batch_whose_answers_are_lost_is_an_error(speaking: Speaking) -> None:
    own, _ = speaking(OSError(errno.ENOBUFS, "No buffer space available"))
    with pytest.raises(OSError, match="No buffer space available"):
        own.commit([ONE])


def test_refusals_that_are_left_of_too_many_are_told(speaking: Speaking) -> None:
    lost = OSError(errno.ENOBUFS, "No buffer space available")
    own, _ = speaking(lost, error(1, errno.ENOENT), error(2, errno.EBUSY))
    with pytest.raises(Refused, match="set a: No such file or directory"):
        own.commit([ONE, OTHER])


def test_an_empty_batch_is_not_sent(speaking: Speaking) -> None:
    own, kernel = speaking()
    own.commit([])
    assert kernel.sent == []
