"""One run: its request, its inputs, its training, its evaluation, its result."""
