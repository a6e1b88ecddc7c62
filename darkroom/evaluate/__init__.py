"""What a network, or the tool itself, is worth: pictures scored against clean photos, and seconds and megabytes measured."""
