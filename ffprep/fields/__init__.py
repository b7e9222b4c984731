"""What a field stores and how it is encoded."""
