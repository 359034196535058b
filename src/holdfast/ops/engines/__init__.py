"""Engines of several processes behind the protocol of ``ops.engine``, one module for each."""
