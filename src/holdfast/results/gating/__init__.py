"""Whether a model may be released: the verdict, and the ledger of all that were asked for."""
