"""Flow logs row by row: what was read, with a verdict behind it (`eval --flows`).

`rows` judges logs, `copying` reads and writes those of our own names, `named` judges their ends,
`decoded` writes the records of other formats.
"""
