"""What transforms derive from: one that is declared, and one whose name stands for two."""
