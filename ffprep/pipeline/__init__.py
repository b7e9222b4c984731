"""What users write pipelines with: `PipelineSpec`, and ffcv's protocol for operations of their own.

`form` has the two classes that transforms and the loader share: `ImageForm` and `BatchInfo`.
"""

from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.pipeline import Pipeline
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.pipeline.state import State

__all__ = ["AllocationQuery", "Compiler", "Operation", "Pipeline", "PipelineSpec", "State"]
