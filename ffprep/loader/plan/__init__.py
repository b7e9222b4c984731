"""The plan: what the workers fill for each output of a loader, and which steps are left for the finished batch.

A pipeline takes three forms on its way from the user to the workers:

1. **What the user wrote**: for each output a list of operations, a `PipelineSpec` or None. `pipelines` checks it and
   completes it to a `Pipeline`: the field to read, its decoder, the transforms, and the random stream of each.
2. **The plan**: `planner` turns each pipeline into an `Output`, anew for every epoch, because image sizes may depend on
   it. An output has native operations (`NativeOp`), which the workers run on each sample, and steps (`Step`), which are
   applied to the finished batch.
3. **The program**: `ffprep.loader.engine.program` writes the native operations of all outputs into the records of
   records that the worker threads read.

The modules, in the order in which a pipeline meets them:

- `options`: are the loader's numbers and names valid?
- `pipelines`: which field does an output read, which decoder does it begin with, what are its random streams?
- `planner`: which transforms do the workers do in one pass with decoding (an `ImageForm` collects them), and which ones
  become steps? What is left for the device when images go there as uint8?
- `captions`: which captions are taken, and what shape do they have when files store them differently?
- `outputs`: what a plan consists of.
- `steps`: how is a transform applied to a batch?
- `operations`: how does an operation of a user's own, written to ffcv's protocol, run?
- `finish`: how does a device normalise and lay out images that came as uint8?
"""
