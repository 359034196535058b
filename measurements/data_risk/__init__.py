"""Do row scores order data sets by what tuning on them does to safety? The organism's answer."""
