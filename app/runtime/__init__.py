"""What a process needs of its machine: files written whole, signs of life, signals. It knows no document."""
