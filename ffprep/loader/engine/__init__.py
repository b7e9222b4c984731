"""What runs a plan.

- `program`: the plan as records that worker threads read.
- `pool`: the worker threads, and the memory that they share with the scheduler. What happens when a worker fails?
- `worker`: what a worker thread does; `rows`: how it fills a row that is no image.
- `buffers`: memory for batches, reused when a batch is gone; `memory`: ordinary or page-locked?
- `device`: copies to an accelerator, beside the training.
- `readahead`: pages of files that are larger than memory, read before they are needed.
"""
