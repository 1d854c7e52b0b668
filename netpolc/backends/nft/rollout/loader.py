"""Sends transactions: as messages of our own, or as text through libnftables.

Comes in: transactions. Goes out: nothing, when the kernel has committed them. Refused
(`SystemRefusal`): what the kernel refuses, by object and element; what is there afterwards and was
not sent.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

from netpolc.backends.nft.netlink import replacement
from netpolc.backends.nft.netlink.wire import Wire
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.transaction import KernelBatch
from netpolc.core.errors import SystemRefusal


class Via(StrEnum):
    """By whom the kernel is asked."""

    NETLINK = "netlink"
    NFT = "nft"


class Loader(Protocol):
    """Sends transactions in the network namespace it was made in."""

    def send(self, own: KernelBatch, locks: Collection[int]) -> None:
        """Have it done; until it is over, whoever carries it out holds the locks as well."""

    def count(self, own: KernelBatch) -> None:
        """`SystemRefusal` where something else is there than was sent."""


class NetlinkLoader:
    """Sends messages: the kernel has committed them when the call that sends them returns, whatever
    becomes of this process.
    """

    def __init__(self) -> None:
        try:
            self._wire = Wire()
        except OSError as error:
            raise SystemRefusal(f"nf_tables cannot be asked: {error}") from error

    def send(self, own: KernelBatch, locks: Collection[int]) -> None:
        """Have it done. The locks are this process's, which ends after the call that sends."""
        try:
            self._wire.commit(own.messages())
        except OSError as error:
            raise replacement.refusal(error) from error

    def count(self, own: KernelBatch) -> None:
        """A message with a wrong length in it is no error for the kernel, which adds nothing."""
        sent = own.counts()
        try:
            there = own.there(self._wire, own.table, sent)
        except OSError as error:
            raise replacement.refusal(error) from error
        replacement.compare(own.table, sent, there)


class NftLoader:
    """Sends text through libnftables, which counts for itself what it sends."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, own: KernelBatch, locks: Collection[int]) -> None:
        """Have it done; the process of libnftables holds the locks."""
        self._channel.send(own.text(), locks=locks)

    def count(self, own: KernelBatch) -> None:
        """Nothing is done."""
