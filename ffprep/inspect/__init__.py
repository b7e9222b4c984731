"""Looking into files: info, statistics, previews, benchmarks."""
