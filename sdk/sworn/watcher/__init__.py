"""The operator's daemon: follows requests, runs models, swears results, brings them on chain."""
