"""The watcher's memory: jobs, the cursor, the journal of sworn results, transactions. One SQL database by URL."""
