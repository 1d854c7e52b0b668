#!/usr/bin/env bash
# A null inside an Arrow dictionary is null for `is_null`, and is neither counted, filled nor dropped.
#
# pyarrow 26.0.1, Python 3.11. Columns of addresses and policies are kept as dictionaries. `dictionary_encode` with
# `null_encoding="encode"` puts the null among the values, as the format allows. `is_null` sees it, and one expects the
# rest of the library to agree with it:
#
#     is_null      [False, True]
#     null_count   0
#     fill_null    ['10.0.0.1', None]
#     drop_null    ['10.0.0.1', None]
#     count        1 valid, 1 null
#
# Cast to text, the same column has null_count 1 and is filled. So `if column.null_count` is no test for gaps, and
# `fill_null` no proof against them, where dictionaries come from others; decoding them first is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$folder/venv/bin/python" - <<'END'
import pyarrow as pa
import pyarrow.compute as pc

text = pa.array(["10.0.0.1", None])
column = text.dictionary_encode(null_encoding="encode")
column.validate(full=True)
print("is_null     ", pc.is_null(column).to_pylist())
print("null_count  ", column.null_count)
print("fill_null   ", pc.fill_null(column, "unknown").to_pylist())
print("drop_null   ", pc.drop_null(column).to_pylist())
assert pc.is_null(column).to_pylist() == [False, True]
assert pc.count(column, mode="only_null").as_py() == 1
assert column.null_count == 0
assert pc.fill_null(column, "unknown").to_pylist() == ["10.0.0.1", None]
assert pc.drop_null(column).to_pylist() == ["10.0.0.1", None]
decoded = column.cast(pa.string())
assert decoded.equals(text)
assert decoded.null_count == 1
assert pc.fill_null(decoded, "unknown").to_pylist() == ["10.0.0.1", "unknown"]
assert pc.drop_null(text.dictionary_encode()).to_pylist() == ["10.0.0.1"]
END
