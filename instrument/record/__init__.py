"""The recording half: from a decorated call to batches of records in sinks. All state of the library is here."""
