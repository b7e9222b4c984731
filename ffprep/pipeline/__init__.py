"""What a pipeline is made of: specifications, and ffcv's protocol for operations of your own."""

from ffprep.pipeline.allocation_query import AllocationQuery
from ffprep.pipeline.compiler import Compiler
from ffprep.pipeline.operation import Operation
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.pipeline.state import State

__all__ = ["AllocationQuery", "Compiler", "Operation", "PipelineSpec", "State"]
