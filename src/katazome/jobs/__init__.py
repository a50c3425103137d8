"""Many cases: what is to be done, what is done, on one machine or several."""
