"""Accuracy and events over a data set, alone or divided over processes, and how sure they are."""
