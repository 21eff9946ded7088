"""What the watcher shows over HTTP: traces, every part of which can be checked against the root that was sworn to."""
