"""What the pipeline tells of its work: metrics and traces."""
