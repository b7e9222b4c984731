"""An epoch under way: its position, the scheduler that keeps workers busy, the iterator, the state."""
