"""What comes from outside is hostile until read: text, HDF5, and readers in a process that can be ended."""
