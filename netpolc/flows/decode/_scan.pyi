_Columns = dict[str, bytes]
_Texts = dict[str, tuple[bytes, bytes, bytes]]
_Unsure = list[tuple[int, int, int, int]]

def scan_hubble(block: bytes, longest: int, /) -> tuple[int, _Columns, _Texts, _Unsure]: ...
def scan_vpc(
    block: bytes, longest: int, roles: bytes, /
) -> tuple[int, _Columns, _Texts, _Unsure]: ...
