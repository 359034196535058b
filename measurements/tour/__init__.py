"""The whole tool on one model, by its command line alone: align, tune, repair, measure, report."""
