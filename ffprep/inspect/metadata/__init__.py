"""What others are told of a file: a data card, and metadata in the Croissant format."""
