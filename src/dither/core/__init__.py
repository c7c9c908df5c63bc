"""The pure part: names, selection, the generator, unit draws, statistics, sensitivity, schedules."""
