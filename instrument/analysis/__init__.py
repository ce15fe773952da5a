"""From records to traces, metrics and reports: pure folds."""
