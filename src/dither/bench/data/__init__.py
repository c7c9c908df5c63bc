"""The rows of tasks: from files, the Hub or the built-in grammar, each checked."""
