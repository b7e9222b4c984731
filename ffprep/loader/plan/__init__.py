"""From pipelines to what workers fill and which steps are left for the finished batch."""
