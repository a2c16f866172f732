"""The benchmarks of `make bench`: each number beside a floor measured in the same run."""
