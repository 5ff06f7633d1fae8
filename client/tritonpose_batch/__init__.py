"""Offline jobs: many images and videos through servers, by Ray, into Parquet and COCO files.

A job's inputs are listed and cut into shards once, at its start (`job`). Each shard becomes one
Parquet file that appears under its name only when it is complete (`results`), so that a job that
was killed continues with the shards that have none. Ray Data gives shards to workers (`run`,
`worker`), which send images through the asynchronous client and return nothing but counts.
"""

from tritonpose.usage_data import withhold_usage_data

# Before Ray is imported, which its own processes inherit.
withhold_usage_data()
