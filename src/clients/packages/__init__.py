"""One file for each kind of package, and what they share: the project, its binary, its texts."""
