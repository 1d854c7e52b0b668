"""What registers hold while the expressions of a rule are read.

Comes in: loads and bitwise expressions, in order. Goes out: what was loaded, when something asks
for it. Refused (`RulesetError`): loads as netpolc never makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import expressions as ex
from netpolc.backends.nft.netlink import rules
from netpolc.core.errors import RulesetError
from netpolc.core.nets import Family

Load = ex.Payload | ex.Meta | ex.Track | ex.Fib
_FAMILIES = {number: version for version, number in rules.NUMBER_OF.items()}
_ENDS = {(version, offset): end for (version, end), offset in rules.OFFSET.items()}
_FIRST = rules.FIRST_REGISTER


def foreign_words(own: object) -> RulesetError:
    """The refusal of what no rule of netpolc's says."""
    return RulesetError(f"not of netpolc's making: {own}")


@dataclass(slots=True)
class Registers:
    """Loads that nothing has asked for yet, with the bits of the last that are looked at; and the
    family, and whether anything needed to know it.
    """

    loads: list[Load] = field(default_factory=list)
    bits: ex.Bitwise | None = None
    family: Family | None = None
    family_asked: bool = True

    def load(self, own: Load) -> None:
        """Something is loaded."""
        if self.bits is not None:
            raise foreign_words(own)
        self.loads.append(own)

    def mask(self, own: ex.Bitwise) -> None:
        """Some bits of the last load are taken."""
        if len(self.loads) != 1 or self.bits is not None:
            raise foreign_words(own)
        self.bits = own

    def taken(self) -> tuple[list[Load], ex.Bitwise | None]:
        """The loads, which lie one behind the other, and the bits that are looked at."""
        found, self.loads = self.loads, []
        bits, self.bits = self.bits, None
        if not found or found[0].dreg != _FIRST or (len(found) > 1 and not _in_order(found)):
            raise foreign_words(found)
        return found, bits

    def key(self) -> list[Load]:
        """The same of a key, which is looked at whole."""
        found, bits = self.taken()
        if bits is not None:
            raise foreign_words(bits)
        return found

    def address(self, load: Load) -> tuple[model.Field, Family]:
        """The address that is loaded."""
        found = self.beginning(load)
        if found is None or not isinstance(load, ex.Payload):
            raise foreign_words(load)
        if load.length != rules.WIDTH[found[1]]:
            raise foreign_words(load)
        return found

    def beginning(self, load: Load) -> tuple[model.Field, Family] | None:
        """Which address of which family a load begins with."""
        if not isinstance(load, ex.Payload) or load.base != rules.NETWORK or self.family is None:
            return None
        end = _ENDS.get((self.family, load.offset))
        if end is None:
            return None
        self.family_asked = True
        return ("saddr" if end == "saddr" else "daddr"), self.family

    def knows_family(self, value: bytes) -> None:
        """It was compared."""
        found = _FAMILIES.get(int.from_bytes(value, "big")) if len(value) == 1 else None
        if found is None or self.family is not None:
            raise RulesetError(f"not of netpolc's making: family {value.hex()}")
        self.family, self.family_asked = found, False


def _in_order(loads: list[Load]) -> bool:
    plain = [own for own in loads if isinstance(own, ex.Payload | ex.Meta)]
    return plain == loads and list(rules.in_registers(plain)) == plain
