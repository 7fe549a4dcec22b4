"""What each feature costs: Rundlet with it and without it, in turns; one feature in each file.

``ratio`` is the rate with the feature, divided by the rate without it.
"""
