"""The operator's side of disputes: commits to traces, shows what is demanded, ends what nobody proved, and alarms."""
