"""What will be run: tasks, arms and seeds, checked, with its cost and what it can tell."""
