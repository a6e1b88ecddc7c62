"""What a network, or the tool itself, is worth: pictures scored against clean photos, seconds and megabytes."""
