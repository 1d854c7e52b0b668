"""Both readers of YAML: the extension through `yaml_format.py`, PyYAML in `pyyaml_format.py`.

Comes in: bytes. Goes out: documents, as JSON or in plain values, and where their fields stand.
"""
