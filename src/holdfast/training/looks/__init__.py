"""What *is* is looked at before step 0: the model, the loss, the rows, the loader; not options."""
