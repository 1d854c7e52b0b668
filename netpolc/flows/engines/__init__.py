"""Verdicts on engines that exist: one function from record batch to record batch, and adapters.

Comes in: batches, files or frames of an engine, and the file of a saved `Matcher`. Goes out: the
same with the columns `policies` and `reason`. Each adapter imports its engine when it is called.
docs/audit-at-scale.md shows them.
"""

from netpolc.flows.engines.dask import collected as collected
from netpolc.flows.engines.dask import each_file as each_file
from netpolc.flows.engines.dataset import judge_dataset as judge_dataset
from netpolc.flows.engines.duckdb import judge_relation as judge_relation
from netpolc.flows.engines.judge_batch import judge_batch as judge_batch
from netpolc.flows.engines.judge_batch import judged_schema as judged_schema
from netpolc.flows.engines.polars import judge_frame as judge_frame
from netpolc.flows.engines.spark import judge_spark as judge_spark
